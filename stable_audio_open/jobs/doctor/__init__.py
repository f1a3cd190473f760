"""What works in this environment, and what to do about what does not."""
