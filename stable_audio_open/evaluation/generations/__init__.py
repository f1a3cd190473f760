"""Sounds that a model makes to be evaluated."""
