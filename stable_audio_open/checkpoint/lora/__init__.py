"""Low-rank adapters of the transformer."""
