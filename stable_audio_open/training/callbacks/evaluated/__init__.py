"""Metrics that are measured on what a training makes, amid it."""
