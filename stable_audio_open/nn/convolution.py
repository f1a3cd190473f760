"""Weight-normalised convolutions, initialised so that signals keep their variance.

PyTorch's own initialisation shrinks a signal at every layer; through the encoder and the decoder of
an untrained autoencoder next to nothing is left of it, and training stalls on the biases (a small
one then needs ten times the steps to the same spectral distance).
"""

from math import sqrt
from typing import Any

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from stable_audio_open.nn.weight_norm import normalise_weight


class _Pickled(nn.Module):
    """A layer that can be pickled, weight-normalised or not.

    PyTorch refuses to pickle layers whose class is made when they are normalised: it is made again
    here, and all the rest is kept.
    """

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        normalised = is_parametrized(self)
        kind = type(self).__base__ if normalised else type(self)
        return _layer_to_fill, (kind, normalised), self.__dict__


class NormalisedConvolution(_Pickled, nn.Conv1d):
    """What `convolution` returns."""


class NormalisedTransposedConvolution(_Pickled, nn.ConvTranspose1d):
    """What `transposed_convolution` returns."""


def _layer_to_fill(
    kind: type[nn.Conv1d | nn.ConvTranspose1d], normalised: bool
) -> nn.Conv1d | nn.ConvTranspose1d:
    """Return a layer whose state is then replaced; no random number is drawn."""
    layer = kind(1, 1, 1, device="meta")
    if normalised:
        normalise_weight(layer)
    return layer


def convolution(
    *,
    channels_in: int,
    channels_out: int,
    kernel: int,
    stride: int = 1,
    dilation: int = 1,
    padding: int = 0,
    bias: bool = True,
    gain: float = 1.0,
) -> nn.Conv1d:
    """Return a weight-normalised convolution over `[batch, channels, time]`.

    Untrained, its output has `gain` times the amplitude of white input.
    """
    layer = NormalisedConvolution(
        channels_in, channels_out, kernel, stride, padding=padding, dilation=dilation, bias=bias
    )
    _initialise(layer, std=gain / sqrt(channels_in * kernel))
    normalise_weight(layer)
    return layer


def transposed_convolution(
    *, channels_in: int, channels_out: int, kernel: int, stride: int, padding: int
) -> nn.ConvTranspose1d:
    """Return a weight-normalised transposed convolution; its norms are per INPUT channel.

    The output is exactly `stride` times as long as the input when
    `kernel - 2 * padding == stride`. Untrained, it has the amplitude of white input.
    """
    layer = NormalisedTransposedConvolution(
        channels_in, channels_out, kernel, stride, padding=padding
    )
    # kernel / stride taps meet in each output sample.
    _initialise(layer, std=sqrt(stride / (channels_in * kernel)))
    normalise_weight(layer)
    return layer


def _initialise(layer: nn.Conv1d | nn.ConvTranspose1d, *, std: float) -> None:
    if layer.weight.is_meta:  # PyTorch works out in Python what it draws there: nothing, slowly
        return
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
