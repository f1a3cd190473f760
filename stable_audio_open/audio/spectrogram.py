"""Spectrograms to look at."""

import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor

from stable_audio_open.nn.mel import FLOOR_DB, mel_decibels, mel_filters
from stable_audio_open.nn.spectrum import magnitude, short_time_spectrum

FFT_SIZE = 2048

# Black, purple, cream: even steps of lightness from silence to full scale.
SILENT, MIDDLE, LOUD = "#000004", "#b63679", "#fcfdbf"


def spectrogram_picture(
    samples: Float[Tensor, "channels time"],
    *,
    sample_rate: int,
    width: int = 480,
    height: int = 192,
) -> Image.Image:
    """Return the mel spectrogram of all channels together, bass at the bottom.

    Args:
        samples: Audio of any length; what is shorter than a window is followed by silence.
        sample_rate: In hertz.
        width: Pixels over the whole length.
        height: Pixels from 0 Hz to half the sample rate, on the mel scale.
    """
    mono = samples.mean(dim=0).clone()
    mono = torch.nn.functional.pad(mono, (0, max(0, FFT_SIZE - len(mono))))
    magnitudes = magnitude(short_time_spectrum(mono[None, None], torch.hann_window(FFT_SIZE)))
    levels = mel_decibels(magnitudes[:, 0], mel_filters(FFT_SIZE, sample_rate=sample_rate))[0]
    grey = (255 * (1 - levels.clamp(max=0) / FLOOR_DB)).to(torch.uint8).T.flip(0)
    picture = Image.fromarray(grey.contiguous().numpy())
    return ImageOps.colorize(picture, black=SILENT, mid=MIDDLE, white=LOUD).resize((width, height))
