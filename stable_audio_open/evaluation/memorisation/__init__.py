"""Whether a model gives back what it was trained on (section 5.3)."""
