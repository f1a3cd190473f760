"""The one error that a configuration file or override raises."""


class ConfigError(ValueError):
    """A configuration that cannot be used: one line with file, JSON path, fault and remedy."""

    def __init__(self, message: str) -> None:
        # Names from a file may hold line breaks.
        super().__init__(" ".join(message.splitlines()))
