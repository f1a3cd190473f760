"""Spectrograms to look at."""

import math

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from stable_audio_open.nn.mel import FLOOR_DB, mel_decibels, mel_filters
from stable_audio_open.nn.spectrum import magnitude, short_time_spectrum
from stable_audio_open.pages.figure_style import house_style, new_figure

FFT_SIZE = 2048
TICKS = (0, 500, 1000, 2000, 4000, 8000, 16000)
"""Frequencies that are written, in hertz."""


@house_style()
def draw_spectrogram(samples: Float[Tensor, "channels time"], *, sample_rate: int) -> Figure:
    """Return the mel spectrogram of all channels together, bass at the bottom.

    Black is -80 dB of a full-scale sine or below, cream 0 dB.

    Args:
        samples: Audio of any length; what is shorter than a window is followed by silence.
        sample_rate: Hertz.
    """
    mono = samples.mean(dim=0).clone()
    mono = torch.nn.functional.pad(mono, (0, max(0, FFT_SIZE - len(mono))))
    magnitudes = magnitude(short_time_spectrum(mono[None, None], torch.hann_window(FFT_SIZE)))
    levels = mel_decibels(magnitudes[:, 0], mel_filters(FFT_SIZE, sample_rate=sample_rate))[0]
    figure = new_figure(2.4, width=5.5)
    axes = figure.add_subplot(xlabel="seconds", ylabel="kHz")
    axes.imshow(
        levels.T.numpy(),
        cmap="magma",
        vmin=FLOOR_DB,
        vmax=0,
        origin="lower",
        aspect="auto",
        extent=(0, len(mono) / sample_rate, 0, _mel(sample_rate / 2)),
    )
    shown = [hertz for hertz in TICKS if hertz <= sample_rate / 2]
    axes.set_yticks([_mel(hertz) for hertz in shown], [f"{hertz / 1000:g}" for hertz in shown])
    return figure


def _mel(hertz: float) -> float:
    """Return HTK's mel, on which the bands of the filters are evenly spread."""
    return 2595 * math.log10(1 + hertz / 700)
