"""A catalogue of recordings becomes a reviewed, licensed training set (section 3)."""
