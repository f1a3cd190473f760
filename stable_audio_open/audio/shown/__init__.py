"""Sounds for the eye: players of notebooks and spectrograms."""
