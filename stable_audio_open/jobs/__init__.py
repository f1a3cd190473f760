"""Whole runs: train, encode, curate, estimate."""
