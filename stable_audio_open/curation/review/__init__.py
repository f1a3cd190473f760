"""What a person decides, and the report."""
