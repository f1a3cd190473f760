"""Sounds to files: formats, places and tags."""
