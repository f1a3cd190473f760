"""Distances between the original and the decoded signal."""
