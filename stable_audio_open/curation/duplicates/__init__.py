"""Copies and near copies."""
