"""The one error that a configuration file or override raises."""


class ConfigError(ValueError):
    """A configuration that cannot be used: one line with file, JSON path, fault and remedy."""
