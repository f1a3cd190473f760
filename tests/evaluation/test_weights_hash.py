import copy

import torch
from torch import nn

from stable_audio_open.audio_models.log_mel import MelSpectrogram
from stable_audio_open.audio_models.registry import EMBEDDERS
from stable_audio_open.evaluation.weights import module_hash, weights_hash


def network() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(3, 2)
    for parameter in linear.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return linear


def test_the_hash_tells_weights_types_and_names_apart():
    first = network()
    changed = copy.deepcopy(first)
    changed.bias.data[1] += 2**-20  # type: ignore[union-attr,operator]
    networks = [first, changed, network().double(), network().bfloat16(), nn.Sequential(network())]
    assert module_hash(first) == module_hash(network())
    assert len({module_hash(each) for each in networks}) == 5


def test_what_is_computed_has_no_hash_and_what_is_learnt_has():
    assert weights_hash(EMBEDDERS.load("log-mel")) is None
    assert weights_hash(MelSpectrogram(sample_rate=8000, size=64, hop=32, bands=4)) is None
    assert weights_hash(object()) is None
    assert weights_hash(network()) == module_hash(network())
    # Of buffers alone, saved with the network: statistics that it learnt.
    norm = nn.BatchNorm1d(2, affine=False)
    assert weights_hash(norm) == module_hash(norm)
