"""Recordings as vectors of an embedder, for all distances of sets."""
