"""What some tests wait for, and how it is to be had."""

import importlib.util

import pytest

needs_musicnn = pytest.mark.skipif(
    importlib.util.find_spec("musicnn") is None,
    reason="needs the weights: pip install --no-deps musicnn==0.1.0",
)
