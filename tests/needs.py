"""What some tests wait for, and how it is to be had."""

import importlib.util
import shutil

import pytest

needs_musicnn = pytest.mark.skipif(
    importlib.util.find_spec("musicnn") is None,
    reason="needs the weights: pip install --no-deps musicnn==0.1.0",
)

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))),
    reason="needs a C++ compiler, which torch.compile uses on the CPU",
)
