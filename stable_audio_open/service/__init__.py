"""Sounds on request: a queue, workers, and the ways in, which are HTTP and a page."""
