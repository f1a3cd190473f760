"""PANNs' network for whole clips: 527 classes of AudioSet, and an embedding of 2048 numbers.

Kong et al. (2020), as in `panns.py`: `Cnn14`, published as `Cnn14_mAP=0.431.pth`.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio_models.log_mel import MelSpectrogram
from stable_audio_open.audio_models.panns.network import (
    HOP,
    POOLING,
    POWER_FLOOR,
    SAMPLE_RATE,
    Cnn14,
)
from stable_audio_open.audio_models.windows import covering

WINDOW = 10 * SAMPLE_RATE
"""The length of AudioSet's clips, which it was trained on."""


class Cnn14Clip(Cnn14):
    """Log-mel spectrograms to logits of classes, one row for a clip."""

    def forward(
        self, log_mel: Float[Tensor, "batch frames bands"]
    ) -> Float[Tensor, "batch classes"]:
        """Return logits, whose sigmoids are the published probabilities."""
        logits: Tensor = self.fc_audioset(self.embed(log_mel))
        return logits

    def embed(self, log_mel: Float[Tensor, "batch frames bands"]) -> Float[Tensor, "batch width"]:
        """Return the hidden layer, before the classes."""
        x = self.segments(log_mel)
        hidden: Tensor = self.fc1(x.amax(dim=-1) + x.mean(dim=-1)).relu()
        return hidden


class PannsClipTagger:
    """Classes of AudioSet for windows of 10 s, as few as cover a recording, evenly spaced.

    A recording of up to 10 s is one window of its own length.

    Args:
        network: In evaluation mode.
        spectrogram: Its front end.
        name: Network and weights.
        device: Where to compute.
    """

    sample_rate = SAMPLE_RATE
    definition = (
        "32 kHz mono, the fewest windows of 10 s that cover it, logits averaged, then softmax over "
        "all classes"
    )

    def __init__(
        self,
        network: Cnn14Clip,
        spectrogram: MelSpectrogram,
        *,
        name: str,
        device: str | torch.device = "cpu",
    ) -> None:
        self.name = name
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.spectrogram = spectrogram.to(self.device)

    @torch.inference_mode()
    def logits(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows classes"]:
        """Return one row for each window."""
        return torch.cat([self.network(window) for window in self.log_mels(mono)]).cpu()

    def log_mels(self, mono: Float[Tensor, "time"]) -> list[Float[Tensor, "1 frames bands"]]:
        """Return what the network reads, on its device; silence follows audio too short for it."""
        windows = [mono[start : start + WINDOW] for start in covering(len(mono), WINDOW)]
        return [self._log_mel(window) for window in windows]

    def _log_mel(self, window: Float[Tensor, "time"]) -> Float[Tensor, "1 frames bands"]:
        window = F.pad(window, (0, max(0, POOLING * HOP - len(window)))).to(self.device)
        power: Tensor = self.spectrogram(window[None])
        return 10 * power.clamp(min=POWER_FLOOR).log10()


class PannsEmbedder:
    """The hidden layer of the network for whole clips, for each window of a recording.

    Args:
        tagger: Whose network it is.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, tagger: PannsClipTagger) -> None:
        self.tagger = tagger
        self.name = tagger.name

    @torch.inference_mode()
    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        """Return one vector for each window of 10 s, as few as cover the recording."""
        windows = self.tagger.log_mels(mono)
        return torch.cat([self.tagger.network.embed(window) for window in windows]).cpu()
