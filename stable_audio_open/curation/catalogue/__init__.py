"""The catalogue of recordings, and decisions about them."""
