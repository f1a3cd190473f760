"""Encoded recordings in shards, written and read."""
