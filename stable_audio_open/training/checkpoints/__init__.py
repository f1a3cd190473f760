"""Checkpoints of a run: written, chosen, checked and gone on from."""
