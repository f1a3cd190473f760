"""Typed configuration: pure data, never torch."""
