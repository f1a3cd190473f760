"""Processes that hold models, make what the queue gives them, and may die."""
