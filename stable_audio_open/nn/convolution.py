"""Weight-normalised convolutions, initialised so that signals keep their variance.

PyTorch's own initialisation shrinks a signal at every layer; through the encoder and the decoder of
an untrained autoencoder next to nothing is left of it, and training stalls on the biases (a small
one then needs ten times the steps to the same spectral distance).
"""

from math import sqrt

from torch import nn
from torch.nn.utils.parametrizations import weight_norm


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
    layer = nn.Conv1d(
        channels_in, channels_out, kernel, stride, padding=padding, dilation=dilation, bias=bias
    )
    _initialise(layer, std=gain / sqrt(channels_in * kernel))
    weight_norm(layer)
    return layer


def transposed_convolution(
    *, channels_in: int, channels_out: int, kernel: int, stride: int, padding: int
) -> nn.ConvTranspose1d:
    """Return a weight-normalised transposed convolution; its norms are per INPUT channel.

    The output is exactly `stride` times as long as the input when
    `kernel - 2 * padding == stride`. Untrained, it has the amplitude of white input.
    """
    layer = nn.ConvTranspose1d(channels_in, channels_out, kernel, stride, padding=padding)
    # kernel / stride taps meet in each output sample.
    _initialise(layer, std=sqrt(stride / (channels_in * kernel)))
    weight_norm(layer)
    return layer


def _initialise(layer: nn.Conv1d | nn.ConvTranspose1d, *, std: float) -> None:
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
