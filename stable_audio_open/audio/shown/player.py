"""A batch of audio as a notebook shows it: a player and a spectrogram of each item."""

import base64
from typing import TYPE_CHECKING, NamedTuple

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.level.peaks import limit_peak
from stable_audio_open.audio.writing.formats import encode
from stable_audio_open.pages.rendering import render

if TYPE_CHECKING:
    from stable_audio_open.audio.audio import Audio

SHOWN = 8
"""Items that are shown; a page of more is slow, and holds all of their sound."""


class Shown(NamedTuple):
    """An item on the page."""

    label: str
    """Length and seed, and whether there are samples that are no numbers."""
    prompt: str
    """What it was made from; empty where that is not known."""
    sound: str
    """Data address of a FLAC file."""
    picture: str
    """Data address of the spectrogram; empty where matplotlib is missing."""


def player_html(audio: "Audio") -> str:
    """Return HTML that needs nothing else: players, spectrograms, seeds, and prompts if known."""
    shown = []
    for item in audio[:SHOWN]:
        said = item.tags[0].get("prompt", "") if item.tags else ""
        seed = "" if item.seed is None else f", seed {item.seed}"
        broken = "" if item.samples.isfinite().all() else ", NaN or infinite samples left out"
        shown.append(
            Shown(
                label=f"{item.duration:.2f} s{seed}{broken}",
                prompt=said if isinstance(said, str) else "",
                sound=_sound_address(item.samples[0], item.sample_rate),
                picture=_picture_address(item.samples[0], item.sample_rate),
            )
        )
    return render("audio.html.jinja", items=shown, more=len(audio) - len(shown))


def _sound_address(samples: Float[Tensor, "channels time"], sample_rate: int) -> str:
    limited, _ = limit_peak(_heard(samples))
    content = encode(limited, sample_rate, ".flac", "pcm16")
    return f"data:audio/flac;base64,{base64.b64encode(content).decode()}"


def _heard(samples: Float[Tensor, "channels time"]) -> Float[Tensor, "channels time"]:
    """Return samples with silence where they are no numbers, which no file can hold."""
    return samples.detach().cpu().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _picture_address(samples: Float[Tensor, "channels time"], sample_rate: int) -> str:
    try:
        from stable_audio_open.audio.shown.spectrogram import draw_spectrogram
        from stable_audio_open.pages.figure_style import png
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        return ""
    content = png(draw_spectrogram(_heard(samples), sample_rate=sample_rate))
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
