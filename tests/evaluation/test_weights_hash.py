import copy

import torch
from torch import nn

from stable_audio_open.evaluation.weights import module_hash


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
