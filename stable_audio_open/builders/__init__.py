"""Configuration to parts: the only place where it meets code."""
