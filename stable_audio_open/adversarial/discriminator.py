"""Discriminators on complex spectra, as in EnCodec (section 4.1, reference [24])."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.nn.spectrum import short_time_spectrum
from stable_audio_open.nn.weight_norm import normalise_weight

SLOPE = 0.2
"""Slope of the leaky ReLU below 0."""

DILATIONS = (1, 2, 4)
"""Dilations in time of the middle convolutions."""


class DiscriminatorOutput(NamedTuple):
    """What a discriminator makes of a batch."""

    logits: Float[Tensor, "batch 1 frames bins"]
    """High where it takes the audio for real."""
    features: tuple[Float[Tensor, "batch filters frames bins"], ...]
    """Activations of every layer but the last."""


class SpectralDiscriminator(nn.Module):
    """Judge audio by the real and imaginary parts of its spectra, one resolution.

    Kernels are (frames, bins); no layer strides, so that every map keeps the spectrum's shape.

    Args:
        audio_channels: Channels of the audio, judged together.
        fft_size: Window (Hann) in samples, a multiple of 4; the hop is a quarter.
        filters: Channels of the hidden layers.
    """

    window: Tensor

    def __init__(self, *, audio_channels: int, fft_size: int, filters: int = 64) -> None:
        super().__init__()
        self.fft_size = fft_size
        window = torch.hann_window(fft_size)
        # Spectra of noise are then as loud at every resolution.
        self.register_buffer("window", window / window.square().sum().sqrt(), persistent=False)
        self.layers = nn.ModuleList(
            [
                _convolution(2 * audio_channels, filters, kernel=(3, 9)),
                *(
                    _convolution(filters, filters, kernel=(3, 9), dilation=dilation)
                    for dilation in DILATIONS
                ),
                _convolution(filters, filters, kernel=(3, 3)),
            ]
        )
        self.output = _convolution(filters, 1, kernel=(3, 3))

    def forward(self, audio: Float[Tensor, "batch channels time"]) -> DiscriminatorOutput:
        """Judge audio of at least one window.

        Raises:
            ValueError: When the audio is shorter than the window.
        """
        if audio.shape[-1] < self.fft_size:
            raise ValueError(
                f"{audio.shape[-1]} samples of audio are shorter than the discriminator's window "
                f"of {self.fft_size}; give longer crops or a smaller window"
            )
        with torch.autocast(audio.device.type, enabled=False):
            window = self.window.to(torch.promote_types(audio.dtype, torch.float32))
            spectrum = short_time_spectrum(audio.to(window.dtype), window, centred=False)
            x = torch.cat((spectrum.real, spectrum.imag), dim=1)
        features = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), SLOPE)
            features.append(x)
        return DiscriminatorOutput(logits=self.output(x), features=tuple(features))

    def extra_repr(self) -> str:
        """Show the resolution."""
        return f"fft_size={self.fft_size}"


class MultiResolutionDiscriminator(nn.Module):
    """Independent discriminators, one per resolution (five in section 4.1).

    Args:
        audio_channels: Channels of the audio.
        fft_sizes: Window of each.
        filters: Channels of their hidden layers.
    """

    def __init__(self, *, audio_channels: int, fft_sizes: Sequence[int], filters: int = 64) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            SpectralDiscriminator(audio_channels=audio_channels, fft_size=size, filters=filters)
            for size in fft_sizes
        )

    def forward(self, audio: Float[Tensor, "batch channels time"]) -> list[DiscriminatorOutput]:
        """Return the judgement of each."""
        return [scale(audio) for scale in self.scales]


def _convolution(
    channels_in: int, channels_out: int, *, kernel: tuple[int, int], dilation: int = 1
) -> nn.Conv2d:
    padding = (dilation * (kernel[0] // 2), kernel[1] // 2)
    layer = nn.Conv2d(channels_in, channels_out, kernel, dilation=(dilation, 1), padding=padding)
    normalise_weight(layer)
    return layer
