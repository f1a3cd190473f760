"""The library's version, for every room: it imports nothing."""

VERSION = "0.2.0"
