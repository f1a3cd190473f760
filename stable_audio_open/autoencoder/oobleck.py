"""The convolutional encoder and decoder (section 2.1)."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.nn.convolution import convolution, transposed_convolution
from stable_audio_open.nn.snake import Snake

DILATIONS = (1, 3, 9)
KERNEL = 7

# Amplitudes at the start of training: each residual unit adds a little, the waveform is quiet.
RESIDUAL_GAIN = 0.2
WAVEFORM_GAIN = 0.05


class ResidualUnit(nn.Module):
    """`x + conv1(snake(dilated conv7(snake(x))))`; the length stays."""

    def __init__(self, *, channels: int, dilation: int) -> None:
        super().__init__()
        self.snake1 = Snake(channels=channels)
        self.conv1 = convolution(
            channels_in=channels,
            channels_out=channels,
            kernel=KERNEL,
            dilation=dilation,
            padding=dilation * (KERNEL // 2),
        )
        self.snake2 = Snake(channels=channels)
        self.conv2 = convolution(
            channels_in=channels, channels_out=channels, kernel=1, gain=RESIDUAL_GAIN
        )

    def forward(
        self, x: Float[Tensor, "batch channels time"]
    ) -> Float[Tensor, "batch channels time"]:
        """Add the unit's change to its input."""
        change: Tensor = self.conv2(self.snake2(self.conv1(self.snake1(x))))
        return x + change


def _residual_units(channels: int) -> nn.Sequential:
    return nn.Sequential(
        *(ResidualUnit(channels=channels, dilation=dilation) for dilation in DILATIONS)
    )


class EncoderBlock(nn.Module):
    """Residual units, then a strided convolution that divides the length by `stride`."""

    def __init__(self, *, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.units = _residual_units(channels_in)
        self.snake = Snake(channels=channels_in)
        self.downsample = convolution(
            channels_in=channels_in,
            channels_out=channels_out,
            kernel=2 * stride,
            stride=stride,
            padding=ceil(stride / 2),
        )

    def forward(
        self, x: Float[Tensor, "batch channels time"]
    ) -> Float[Tensor, "batch out shorter"]:
        """Downsample."""
        out: Tensor = self.downsample(self.snake(self.units(x)))
        return out


class DecoderBlock(nn.Module):
    """A transposed convolution that multiplies the length by `stride`, then residual units."""

    def __init__(self, *, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.snake = Snake(channels=channels_in)
        self.upsample = transposed_convolution(
            channels_in=channels_in,
            channels_out=channels_out,
            kernel=2 * stride,
            stride=stride,
            padding=ceil(stride / 2),
        )
        self.units = _residual_units(channels_out)

    def forward(self, x: Float[Tensor, "batch channels time"]) -> Float[Tensor, "batch out longer"]:
        """Upsample."""
        out: Tensor = self.units(self.upsample(self.snake(x)))
        return out


def _block_channels(channels: int, multipliers: Sequence[int]) -> list[int]:
    """Channels between the blocks, from the full-rate end; the first block keeps `channels`."""
    return [channels, *(channels * multiplier for multiplier in multipliers)]


class OobleckEncoder(nn.Module):
    """Waveform to the two halves (mean, scale) of the posterior's parameters.

    Args:
        audio_channels: Channels of the waveform.
        channels: Channels at full rate.
        multipliers: Output channels of each block, in units of `channels`.
        strides: Downsampling factor of each block.
        output_channels: Twice the latent channels, for a variational bottleneck.
    """

    def __init__(
        self,
        *,
        audio_channels: int,
        channels: int,
        multipliers: Sequence[int],
        strides: Sequence[int],
        output_channels: int,
    ) -> None:
        super().__init__()
        widths = _block_channels(channels, multipliers)
        self.input = convolution(
            channels_in=audio_channels, channels_out=channels, kernel=KERNEL, padding=KERNEL // 2
        )
        self.blocks = nn.Sequential(
            *(
                EncoderBlock(channels_in=narrow, channels_out=wide, stride=stride)
                for (narrow, wide), stride in zip(pairwise(widths), strides, strict=True)
            )
        )
        self.snake = Snake(channels=widths[-1])
        self.output = convolution(
            channels_in=widths[-1], channels_out=output_channels, kernel=3, padding=1
        )

    def forward(
        self, audio: Float[Tensor, "batch audio_channels time"]
    ) -> Float[Tensor, "batch parameters frames"]:
        """Encode; `time` must be a multiple of the product of the strides."""
        out: Tensor = self.output(self.snake(self.blocks(self.input(audio))))
        return out


class OobleckDecoder(nn.Module):
    """Latents to waveform: the mirror of the encoder.

    The last convolution has no bias, and there is no tanh unless asked for (section 2.1).
    """

    def __init__(
        self,
        *,
        audio_channels: int,
        channels: int,
        multipliers: Sequence[int],
        strides: Sequence[int],
        latent_channels: int,
        final_tanh: bool = False,
    ) -> None:
        super().__init__()
        widths = _block_channels(channels, multipliers)[::-1]
        self.input = convolution(
            channels_in=latent_channels, channels_out=widths[0], kernel=KERNEL, padding=KERNEL // 2
        )
        self.blocks = nn.Sequential(
            *(
                DecoderBlock(channels_in=wide, channels_out=narrow, stride=stride)
                for (wide, narrow), stride in zip(pairwise(widths), reversed(strides), strict=True)
            )
        )
        self.snake = Snake(channels=channels)
        self.output = convolution(
            channels_in=channels,
            channels_out=audio_channels,
            kernel=KERNEL,
            padding=KERNEL // 2,
            bias=False,
            gain=WAVEFORM_GAIN,
        )
        self.final_tanh = final_tanh

    def forward(
        self, latents: Float[Tensor, "batch latent_channels frames"]
    ) -> Float[Tensor, "batch audio_channels time"]:
        """Decode to exactly `frames` times the product of the strides samples."""
        out: Tensor = self.output(self.snake(self.blocks(self.input(latents))))
        return torch.tanh(out) if self.final_tanh else out
