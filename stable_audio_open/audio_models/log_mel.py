"""Power on Slaney's mel scale, as librosa computes it and the taggers were trained on it."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn


def slaney_filters(
    *, size: int, bands: int, sample_rate: int, lowest: float = 0.0, highest: float | None = None
) -> Float[Tensor, "bins bands"]:
    """Return triangles of equal area on Slaney's mel scale, as librosa has them by default.

    Args:
        size: Samples of the window.
        bands: How many.
        sample_rate: In hertz.
        lowest: Hertz.
        highest: Hertz; half the sample rate when None.
    """
    from torchaudio.functional import melscale_fbanks

    filters: Tensor = melscale_fbanks(
        size // 2 + 1,
        lowest,
        sample_rate / 2 if highest is None else highest,
        bands,
        sample_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return filters


class MelSpectrogram(nn.Module):
    """Power per mel band under a periodic Hann window, frame i about sample i * hop.

    The filters have unit area (`norm="slaney"`). Nothing here is trained or saved.

    Args:
        sample_rate: In hertz.
        size: Samples of the window and the transform.
        hop: Samples between frames.
        bands: How many.
        lowest: Hertz, where the first filter starts.
        highest: Hertz, where the last filter ends; half the sample rate when None.
        padding: What lies beyond both ends, half a window deep.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        *,
        sample_rate: int,
        size: int,
        hop: int,
        bands: int,
        lowest: float = 0.0,
        highest: float | None = None,
        padding: Literal["reflect", "constant"] = "reflect",
    ) -> None:
        super().__init__()
        self.hop = hop
        self.padding = padding
        filters = slaney_filters(
            size=size, bands=bands, sample_rate=sample_rate, lowest=lowest, highest=highest
        )
        self.register_buffer("window", torch.hann_window(size), persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, audio: Float[Tensor, "batch time"]) -> Float[Tensor, "batch frames bands"]:
        """Return 1 + time // hop frames; `reflect` needs more than half a window of audio."""
        spectrum = torch.stft(
            audio,
            len(self.window),
            self.hop,
            window=self.window,
            pad_mode=self.padding,
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return power.mT @ self.filters
