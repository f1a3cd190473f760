"""Weights on disk: their layouts, read strictly and without running anything."""
