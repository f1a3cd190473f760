"""Trained networks that hear what is in a recording: taggers and embedders, as parts."""
