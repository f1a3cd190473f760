"""Lightning modules (section 4)."""
