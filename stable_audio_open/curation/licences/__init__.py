"""Licences, and attributions."""
