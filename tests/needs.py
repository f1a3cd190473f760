"""What some tests wait for, and how it is to be had."""

import importlib.metadata
import importlib.util
import shutil
import subprocess

import pytest
import torch

needs_musicnn = pytest.mark.skipif(
    importlib.util.find_spec("musicnn") is None,
    reason="needs the weights: pip install --no-deps musicnn==0.1.0",
)

needs_setuptools = pytest.mark.skipif(
    importlib.util.find_spec("setuptools") is None
    or int(importlib.metadata.version("setuptools").split(".")[0]) < 77,
    reason="needs what builds the package: pip install 'setuptools>=77'",
)

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "clang++", "c++"))),
    reason="needs a C++ compiler, which torch.compile uses on the CPU",
)

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

needs_curl = pytest.mark.skipif(
    shutil.which("curl") is None
    or "--json"
    not in subprocess.run(["curl", "--help", "all"], capture_output=True, text=True).stdout,
    reason="needs curl 7.82 or newer",
)

compiling = [
    pytest.mark.filterwarnings("ignore:.* should not be instantiated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated"),
    pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex"),
    pytest.mark.filterwarnings(r"ignore:The \.grad attribute of a Tensor that is not a leaf"),
    pytest.mark.filterwarnings("ignore:Guards may run slower"),
]
"""PyTorch's compiler does what it warns of."""

BUGFIX_RELEASE = {"PYTHONWARNINGS": "ignore:Guards may run slower"}
"""Environment of commands that compile: PyTorch's compiler would rather have 3.13.1 than 3.13.0."""
