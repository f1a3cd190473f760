"""OpenL3's audio network: the embedding whose Fréchet distance the paper reports.

Cramer et al., "Look, listen, and learn more: design choices for deep audio embeddings" (2019): 256
mel bands, 512 numbers a second of sound. Published are networks that were trained on videos of the
environment (`env`) and of music; the paper takes the one for AudioCaps and the other for the Song
Describer Dataset.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.audio_models.log_mel import slaney_filters

SAMPLE_RATE = 48000
SIZE = 2048
HOP = 242
BANDS = 256
STRIDE = SAMPLE_RATE // 2
FRAMES = math.ceil(SAMPLE_RATE / HOP)
"""Frames of a window, which is one second long."""

FLOOR = 1e-10
DYNAMIC_RANGE = 80.0
WIDTHS = (64, 64, 128, 128, 256, 256, 512, 512)
NORM_EPS = 1e-3
POOLED = (1, 3, 5)
"""Convolutions after which both axes are halved."""

BATCH = 16


class OpenL3Spectrogram(nn.Module):
    """One second of sound to decibels below its loudest band, no lower than -80.

    Magnitudes under a periodic Hann window, frame i from sample 242 i on with zeros behind the end,
    summed by Slaney's mel filters of unit area, as OpenL3 0.4 computes them by default. Nothing
    here is trained or saved.
    """

    window: Tensor
    filters: Tensor

    def __init__(self) -> None:
        super().__init__()
        filters = slaney_filters(size=SIZE, bands=BANDS, sample_rate=SAMPLE_RATE)
        self.register_buffer("window", torch.hann_window(SIZE), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, windows: Float[Tensor, "batch 48000"]) -> Float[Tensor, "batch 256 199"]:
        """Return decibels within -80..0."""
        padded = F.pad(windows, (0, (FRAMES - 1) * HOP + SIZE - SAMPLE_RATE))
        magnitudes = torch.fft.rfft(padded.unfold(-1, SIZE, HOP) * self.window).abs()
        decibels = 10 * (magnitudes @ self.filters).clamp(min=FLOOR).log10()
        loudest = decibels.amax(dim=(1, 2), keepdim=True)
        below: Tensor = (decibels - loudest).clamp(min=-DYNAMIC_RANGE)
        return below.mT


class OpenL3(nn.Module):
    """Spectrograms to embeddings: eight convolutions of 3x3 and the greatest answer of the last.

    Args:
        widths: Channels of the convolutions, of which the last are the embedding.
    """

    def __init__(self, *, widths: Sequence[int] = WIDTHS) -> None:
        super().__init__()
        inputs = (1, *widths[:-1])
        self.norms = nn.ModuleList(nn.BatchNorm2d(width, eps=NORM_EPS) for width in inputs)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=1)
            for before, after in zip(inputs, widths, strict=True)
        )

    def forward(
        self, decibels: Float[Tensor, "batch bands frames"]
    ) -> Float[Tensor, "batch width"]:
        """Return the embeddings; there have to be at least 8 bands and frames."""
        x = self.norms[0](decibels[:, None])
        for number, convolution in enumerate(self.convolutions[:-1]):
            x = self.norms[number + 1](convolution(x)).relu()
            if number in POOLED:
                x = F.max_pool2d(x, 2)
        strongest: Tensor = self.convolutions[-1](x).amax(dim=(2, 3))
        return strongest


class OpenL3Embedder:
    """Embeddings of one second every half a second, the first centred at the beginning.

    Half a second of silence goes before the recording, and as much behind it as fills the last
    window: a recording of 10 s has 20 windows, one of 47 s has 94.

    Args:
        network: In evaluation mode.
        name: Network and weights.
        device: Where to compute.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, network: OpenL3, *, name: str, device: str | torch.device = "cpu") -> None:
        self.name = name
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.spectrogram = OpenL3Spectrogram().to(self.device)

    @torch.inference_mode()
    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        """Return one vector for each window."""
        batches = one_second_windows(mono).split(BATCH)
        vectors = [self.network(self.spectrogram(batch.to(self.device))) for batch in batches]
        return torch.cat(vectors).cpu()


def one_second_windows(mono: Float[Tensor, "time"]) -> Float[Tensor, "windows 48000"]:
    """Return the input of the network, from a recording at 48 kHz."""
    beyond = max(0, len(mono) + STRIDE - SAMPLE_RATE)
    length = SAMPLE_RATE + math.ceil(beyond / STRIDE) * STRIDE
    return F.pad(mono, (STRIDE, length - STRIDE - len(mono))).unfold(0, SAMPLE_RATE, STRIDE)
