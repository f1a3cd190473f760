"""Log-mel spectrograms as embeddings: nothing trained, for any sound, blind to no kind of it."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio_models.log_mel import MelSpectrogram

SAMPLE_RATE = 32000
SIZE = 2048
HOP = 1024
BANDS = 64
FRAMES = 94
"""Frames of a window, which lasts 3.008 s."""

RANGE_DB = 60.0
"""What is farther below the loudest point of a window counts as silence."""
SILENCE = 1e-10
"""Power below which a whole window is silent."""
FLOOR = 1e-3
"""What silence is, of 1 for the loudest point, so that even a silent window has a direction."""
AT_ONCE = 64
"""Windows whose spectrum is computed at once: 3 minutes, 50 MB."""


class LogMelEmbedder:
    """64 mel bands in 94 frames of 32 ms, as decibels above the floor of a window.

    Levels do not count, points in time do: a copy that starts a tenth of a second later is another
    sound. The end of the last window is silence.

    Args:
        device: Where to compute.
    """

    name = f"log-mel {BANDS} bands x {FRAMES} frames of {HOP / SAMPLE_RATE:g} s"
    sample_rate = SAMPLE_RATE

    def __init__(self, *, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.spectrogram = _spectrogram(self.device)

    @torch.inference_mode()
    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        """Return one vector for each window that begins within the audio, values within 0..1."""
        mono = F.pad(mono.to(self.device), (0, -len(mono) % (FRAMES * HOP)))
        windows = rearrange(mono, "(windows time) -> windows time", time=FRAMES * HOP)
        power = self.spectrogram(windows)[:, :FRAMES]
        above = _above_floor(power, power.amax(dim=(1, 2), keepdim=True))
        return rearrange(above, "windows time bands -> windows (time bands)").cpu()


class MeanLogMelEmbedder:
    """64 mel bands, as decibels above the floor of a recording, in their mean over time.

    One vector for a recording: its colour, and how much of it is sound. Neither its level nor what
    comes when makes a difference.

    Args:
        device: Where to compute.
    """

    name = f"mean log-mel {BANDS} bands, frames of {HOP / SAMPLE_RATE:g} s"
    sample_rate = SAMPLE_RATE

    def __init__(self, *, device: str | torch.device = "cpu") -> None:
        self.device = torch.device(device)
        self.spectrogram = _spectrogram(self.device)

    @torch.inference_mode()
    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "1 width"]:
        """Return one vector, values within 0..1."""
        # The frames where parts meet see silence for half of their window: two in 3 minutes.
        parts = [part.to(self.device) for part in mono.split(AT_ONCE * FRAMES * HOP)]
        power = torch.cat(
            [self.spectrogram(part[None])[0, : -(-len(part) // HOP)] for part in parts]
        )
        return _above_floor(power, power.amax()).mean(dim=0, keepdim=True).cpu()


def _spectrogram(device: torch.device) -> MelSpectrogram:
    return MelSpectrogram(
        sample_rate=SAMPLE_RATE, size=SIZE, hop=HOP, bands=BANDS, lowest=30.0, padding="constant"
    ).to(device)


def _above_floor(
    power: Float[Tensor, "*shape bands"], loudest: Float[Tensor, "*one"]
) -> Float[Tensor, "*shape bands"]:
    """Return decibels above the floor, 1 for the loudest point; all of silence is the floor."""
    decibels = 10 * (power / loudest.clamp(min=SILENCE)).clamp(min=1e-12).log10()
    above = (decibels / RANGE_DB + 1).clamp(min=FLOOR)
    return torch.where(loudest > SILENCE, above, FLOOR)
