"""Hashes of what goes into a sound: weights, configuration, sounds and files."""

import hashlib
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from torch import nn

from stable_audio_open.audio.audio import Audio
from stable_audio_open.evaluation.weights import module_hash

DIGITS = 16
"""Hexadecimal digits of a hash."""


def weights_of(model: nn.Module) -> str:
    """Return the hash of all parameters and buffers, which is kept until one of them changes."""
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.is_inference() for tensor in tensors):  # whose changes are not counted
        return module_hash(model)
    state = [(tensor.data_ptr(), tensor.dtype, tensor._version) for tensor in tensors]
    known = _HASHES.get(model)
    if known is None or known[0] != state:
        known = _HASHES[model] = (state, module_hash(model))
    return known[1]


_HASHES: WeakKeyDictionary[nn.Module, tuple[list[Any], str]] = WeakKeyDictionary()


def config_hash(model: nn.Module) -> str:
    """Return the hash of a model's configuration; empty where it has none."""
    config = getattr(model, "config", None)
    if config is None:
        return ""
    return hashlib.sha256(msgspec.json.encode(config)).hexdigest()[:DIGITS]


def sound_hash(audio: Audio) -> str:
    """Return the hash of samples and rate."""
    samples = audio.samples.detach().cpu().contiguous().flatten()
    digest = hashlib.sha256(f"{audio.sample_rate} {list(audio.samples.shape)}\n".encode())
    digest.update(samples.numpy().tobytes())
    return digest.hexdigest()[:DIGITS]
