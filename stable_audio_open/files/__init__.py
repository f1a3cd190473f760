"""Bytes on disk: atomic writes, tars, JSON lines."""
