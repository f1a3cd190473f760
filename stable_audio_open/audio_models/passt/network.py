"""PaSST: the transformer whose 527 classes of AudioSet the paper's KL compares.

Koutini et al., "Efficient training of audio transformers with patchout" (2022). The network is that
of the package hear21passt, the front end is written here: theirs draws random numbers and calls
retired functions of PyTorch, which warn.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.audio_models.windows import striding

SAMPLE_RATE = 32000
WINDOW = 10 * SAMPLE_RATE
STRIDE = 5 * SAMPLE_RATE
PRE_EMPHASIS = 0.97
FFT = 1024
SIZE = 800
HOP = 320
BANDS = 128
HIGHEST = 15000.0
"""Hertz; the middle of the range that training drew it from, as hear21passt evaluates."""

FLOOR = 1e-5
FRAMES = 1 + (WINDOW - 1) // HOP


class PasstSpectrogram(nn.Module):
    """Windows of 10 s to what PaSST reads: (log-mel power + 4.5) / 5.

    Pre-emphasis shortens the audio by a sample; a symmetric Hann window of 800 in a transform of
    1024; triangles on Kaldi's mel scale, of height 1, from 0 to 15 kHz. Nothing here is trained or
    saved.
    """

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(SIZE, periodic=False), persistent=False)
        self.register_buffer("filters", kaldi_filters(), persistent=False)

    def forward(self, windows: Float[Tensor, "batch time"]) -> Float[Tensor, "batch 128 frames"]:
        """Return 1 + (time - 1) // 320 frames."""
        emphasised = windows[:, 1:] - PRE_EMPHASIS * windows[:, :-1]
        spectrum = torch.stft(
            emphasised, FFT, HOP, win_length=SIZE, window=self.window, return_complex=True
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return ((self.filters @ power + FLOOR).log() + 4.5) / 5


def kaldi_filters() -> Float[Tensor, "128 513"]:
    """Return mel filters as Kaldi makes them: straight over mel, none at the highest bin."""
    bins = _mel(torch.arange(FFT // 2, dtype=torch.float64) * SAMPLE_RATE / FFT)
    highest = 1127 * math.log(1 + HIGHEST / 700)
    edges = torch.linspace(0, highest, BANDS + 2, dtype=torch.float64)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    return F.pad(torch.minimum(rising, falling).clamp(min=0), (0, 1)).float()


def _mel(hertz: Tensor) -> Tensor:
    return 1127 * (1 + hertz / 700).log()


class PasstTagger:
    """Logits of 10 s of sound every 5 s: the paper's KL_passt.

    Silence fills a last window that reaches past the end. (The authors' script of the metric leaves
    one that is shorter than 1.5 s as it is, which happens to recordings that short alone.)

    Args:
        network: hear21passt's `PaSST` in evaluation mode, which returns logits and features.
        name: Network and weights.
        device: Where to compute.
    """

    sample_rate = SAMPLE_RATE
    definition = (
        "32 kHz mono, windows of 10 s every 5 s, logits averaged, then softmax over all classes"
    )

    def __init__(
        self, network: nn.Module, *, name: str, device: str | torch.device = "cpu"
    ) -> None:
        self.name = name
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.spectrogram = PasstSpectrogram().to(self.device)

    def logits(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows classes"]:
        """Return one row for each window."""
        return self._heard(mono)[0]

    def features(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        """Return what the classes are read from, one row for each window."""
        return self._heard(mono)[1]

    @torch.inference_mode()
    def _heard(self, mono: Tensor) -> tuple[Tensor, Tensor]:
        rows = []
        for start in striding(len(mono), WINDOW, STRIDE):
            window = mono[start : start + WINDOW]
            window = F.pad(window, (0, WINDOW - len(window))).to(self.device)
            rows.append(self.network(self.spectrogram(window[None])[:, None]))
        logits, features = zip(*rows, strict=True)
        return torch.cat(logits).cpu(), torch.cat(features).cpu()


class PasstEmbedder:
    """The 768 numbers that PaSST reads its classes from, for 10 s every 5 s.

    Args:
        tagger: Whose network it is.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, tagger: PasstTagger) -> None:
        self.tagger = tagger
        self.name = tagger.name

    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        """Return one vector for each window."""
        return self.tagger.features(mono)
