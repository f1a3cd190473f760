"""The only place where the configuration meets code."""
