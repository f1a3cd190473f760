"""What the transformer is told (section 2.2)."""
