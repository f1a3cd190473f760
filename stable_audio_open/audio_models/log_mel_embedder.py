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
        self.spectrogram = MelSpectrogram(
            sample_rate=SAMPLE_RATE,
            size=SIZE,
            hop=HOP,
            bands=BANDS,
            lowest=30.0,
            padding="constant",
        ).to(self.device)

    @torch.inference_mode()
    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        """Return one vector for each window that begins within the audio, values within 0..1."""
        mono = F.pad(mono.to(self.device), (0, -len(mono) % (FRAMES * HOP)))
        windows = rearrange(mono, "(windows time) -> windows time", time=FRAMES * HOP)
        power = self.spectrogram(windows)[:, :FRAMES]
        loudest = power.amax(dim=(1, 2), keepdim=True)
        decibels = 10 * (power / loudest.clamp(min=SILENCE)).clamp(min=1e-12).log10()
        above = (decibels / RANGE_DB + 1).clamp(min=FLOOR)
        above = torch.where(loudest > SILENCE, above, FLOOR)
        return rearrange(above, "windows time bands -> windows (time bands)").cpu()
