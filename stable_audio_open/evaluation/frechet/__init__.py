"""Frechet distances between sets of embeddings."""
