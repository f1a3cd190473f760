import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrize import remove_parametrizations

from stable_audio_open.nn.convolution import convolution, transposed_convolution

pytestmark = pytest.mark.numerical


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_weight_is_a_norm_per_output_channel_times_a_direction() -> None:
    layer = convolution(channels_in=3, channels_out=5, kernel=7, dilation=3, padding=9)
    weight: Any = layer.get_submodule("parametrizations.weight")
    g, v = weight.original0, weight.original1
    assert g.shape == (5, 1, 1)
    with torch.no_grad():
        g.copy_(normal(5, 1, 1))
    expected = g * v / v.square().sum(dim=(1, 2), keepdim=True).sqrt()
    torch.testing.assert_close(layer.weight, expected)
    x = normal(2, 3, 30)
    torch.testing.assert_close(
        layer(x), functional.conv1d(x, expected, layer.bias, padding=9, dilation=3)
    )


def test_norm_of_a_transposed_convolution_is_per_input_channel() -> None:
    layer = transposed_convolution(channels_in=3, channels_out=5, kernel=8, stride=4, padding=2)
    weight: Any = layer.get_submodule("parametrizations.weight")
    g, v = weight.original0, weight.original1
    assert g.shape == (3, 1, 1)
    expected = g * v / v.square().sum(dim=(1, 2), keepdim=True).sqrt()
    torch.testing.assert_close(layer.weight, expected)


@pytest.mark.parametrize("stride", [2, 4, 6, 8])
@pytest.mark.parametrize("length", [1, 2, 7])
def test_transposed_convolution_multiplies_the_length_by_its_stride(
    stride: int, length: int
) -> None:
    layer = transposed_convolution(
        channels_in=1,
        channels_out=1,
        kernel=2 * stride,
        stride=stride,
        padding=stride // 2,
    )
    assert layer(normal(1, 1, length)).shape == (1, 1, stride * length)


def test_bias_can_be_left_out() -> None:
    assert convolution(channels_in=1, channels_out=1, kernel=7, bias=False).bias is None


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    "layer",
    [
        convolution(channels_in=3, channels_out=5, kernel=7, dilation=3, padding=9, bias=False),
        transposed_convolution(channels_in=3, channels_out=5, kernel=8, stride=4, padding=2),
    ],
)
def test_a_layer_is_pickled(layer: nn.Module, merged: bool) -> None:
    layer = pickle.loads(pickle.dumps(layer))
    if merged:
        remove_parametrizations(layer, "weight")
    state = torch.get_rng_state()
    again = pickle.loads(pickle.dumps(layer))
    assert torch.equal(torch.get_rng_state(), state)
    assert repr(again) == repr(layer)
    assert list(again.state_dict()) == list(layer.state_dict())
    x = normal(2, 3, 30)
    assert torch.equal(again(x), layer(x))
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.mul_(2.0)
    assert not torch.equal(again(x), layer(x))
