"""Weight normalisation is PyTorch's, and can be built where there are no numbers."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from stable_audio_open.nn.weight_norm import normalise_weight

LAYERS = [nn.Conv1d(3, 5, 7), nn.ConvTranspose1d(3, 5, 4), nn.Conv2d(3, 4, (3, 5))]
INPUTS = {nn.Conv1d: (3, 9), nn.ConvTranspose1d: (3, 9), nn.Conv2d: (3, 9, 9)}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
def test_weights_gradients_and_names_are_pytorchs(layer: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, *INPUTS[type(layer)], generator=generator)
    sides = copy.deepcopy(layer), copy.deepcopy(layer)
    for side, normalise in zip(sides, (normalise_weight, weight_norm), strict=True):
        normalise(side)
        side.get_parameter("parametrizations.weight.original0").data.mul_(1.5)
        side(x).square().sum().backward()
    ours, theirs = sides
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine.grad, other.grad)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [nn.Conv1d, nn.ConvTranspose1d])
def test_on_the_meta_device_its_parts_have_their_shapes(
    kind: type[nn.Conv1d | nn.ConvTranspose1d],
) -> None:
    there, here = kind(3, 5, 7, device="meta"), kind(3, 5, 7)
    for layer in (there, here):
        normalise_weight(layer)
    shapes = [{k: v.shape for k, v in layer.state_dict().items()} for layer in (there, here)]
    assert shapes[0] == shapes[1]
    assert all(parameter.is_meta for parameter in there.parameters())
