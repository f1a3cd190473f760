"""Weight-normalised convolutions."""

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
) -> nn.Conv1d:
    """Return a weight-normalised convolution over `[batch, channels, time]`."""
    layer = nn.Conv1d(
        channels_in, channels_out, kernel, stride, padding=padding, dilation=dilation, bias=bias
    )
    weight_norm(layer)
    return layer


def transposed_convolution(
    *, channels_in: int, channels_out: int, kernel: int, stride: int, padding: int
) -> nn.ConvTranspose1d:
    """Return a weight-normalised transposed convolution; its norms are per INPUT channel.

    The output is exactly `stride` times as long as the input when
    `kernel - 2 * padding == stride`.
    """
    layer = nn.ConvTranspose1d(channels_in, channels_out, kernel, stride, padding=padding)
    weight_norm(layer)
    return layer
