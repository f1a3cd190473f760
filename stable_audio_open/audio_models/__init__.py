"""Networks that describe sound, and their names."""
