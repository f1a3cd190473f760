"""The version of this package, which stands here once."""

VERSION = "0.2.0"
