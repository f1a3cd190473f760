"""Search for known works."""
