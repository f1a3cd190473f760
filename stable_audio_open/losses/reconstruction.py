"""Multi-resolution STFT loss on mid/side and left/right (section 4.1, reference [23]).

The definitions are those of auraloss; the spectra of left and right are computed once and give
those of mid and side, because the transform and the A-weighting are linear.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from stable_audio_open.losses.a_weighting import a_weighting_filter

# auraloss' floor of the power spectrum, under the square root.
MINIMUM_POWER = 1e-8

Reference = Literal["decoded", "target"]


class ReconstructionTerms(NamedTuple):
    """Unweighted terms; `side` is 0 when every item was left out of it."""

    mid: Float[Tensor, ""]
    side: Float[Tensor, ""]
    left: Float[Tensor, ""]
    right: Float[Tensor, ""]


def spectral_distance(
    decoded: Float[Tensor, "batch bins frames"],
    target: Float[Tensor, "batch bins frames"],
    *,
    reference: Reference,
) -> Float[Tensor, ""]:
    """Spectral convergence plus the mean L1 distance of log magnitudes.

    Args:
        decoded: Magnitudes of the decoded signal.
        target: Magnitudes of the original.
        reference: Whose norm divides the convergence.
    """
    norm = torch.linalg.vector_norm(decoded if reference == "decoded" else target)
    convergence = torch.linalg.vector_norm(target - decoded) / norm
    distance: Tensor = convergence + F.l1_loss(decoded.log(), target.log())
    return distance


class StereoSpectralLoss(nn.Module):
    """Spectral distances of mid (L+R), side (L-R), left and right, averaged over resolutions.

    Args:
        sample_rate: For the A-weighting.
        fft_sizes: Windows (Hann) in samples; the hop is a quarter of each.
        a_weighting: Filter both signals by the A curve first (101 taps).
        reference: Whose norm divides the spectral convergence; the published training divides
            by that of the decoded signal.
        skip_silent_side: Leave items whose original side is silent (mono recordings) out of the
            side term: the logarithm of a nearly silent side would dominate the whole loss.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        fft_sizes: Sequence[int],
        a_weighting: bool = True,
        reference: Reference = "decoded",
        skip_silent_side: bool = True,
    ) -> None:
        super().__init__()
        self.fft_sizes = tuple(fft_sizes)
        self.reference: Reference = reference
        self.skip_silent_side = skip_silent_side
        taps = a_weighting_filter(sample_rate) if a_weighting else None
        self.register_buffer("taps", taps, persistent=False)
        for size in self.fft_sizes:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)

    def forward(
        self,
        decoded: Float[Tensor, "batch channels time"],
        target: Float[Tensor, "batch channels time"],
    ) -> ReconstructionTerms:
        """Compare stereo (or mono: every term but side is then the same) waveforms.

        Computed in float32 at least, under autocast too: small magnitudes do not survive less.
        """
        with torch.autocast(target.device.type, enabled=False):
            wide = torch.promote_types(target.dtype, torch.float32)
            return self._compare(decoded.to(wide), target.to(wide))

    def _compare(self, decoded: Tensor, target: Tensor) -> ReconstructionTerms:
        heard = _has_side(target) if self.skip_silent_side else _all(target)
        both = self._weight(torch.cat((decoded, target)))
        totals = [both.new_zeros(()) for _ in range(4)]
        for size in self.fft_sizes:
            spectra = self._spectrum(both, size)
            left, right = spectra[:, 0], spectra[:, -1]
            planes = (left + right, left - right, left, right)
            for index, plane in enumerate(planes):
                mine, theirs = _magnitude(plane).chunk(2)
                if index == 1:
                    if not heard.any():
                        continue
                    mine, theirs = mine[heard], theirs[heard]
                totals[index] = totals[index] + spectral_distance(
                    mine, theirs, reference=self.reference
                )
        return ReconstructionTerms(*(total / len(self.fft_sizes) for total in totals))

    def _weight(self, audio: Tensor) -> Tensor:
        taps = self.taps
        if taps is None:
            return audio
        assert isinstance(taps, Tensor)
        flat = audio.reshape(-1, 1, audio.shape[-1])
        weighted = F.conv1d(flat, taps.to(audio.dtype)[None, None], padding=len(taps) // 2)
        return weighted.reshape(audio.shape)

    def _spectrum(self, audio: Tensor, size: int) -> Tensor:
        window = self.get_buffer(f"window_{size}").to(audio.dtype)
        spectra = torch.stft(
            audio.reshape(-1, audio.shape[-1]),
            size,
            hop_length=size // 4,
            window=window,
            return_complex=True,
        )
        return spectra.reshape(*audio.shape[:2], *spectra.shape[1:])

    def extra_repr(self) -> str:
        """Show the resolutions."""
        return f"fft_sizes={self.fft_sizes}, reference={self.reference!r}"


def _magnitude(spectrum: Tensor) -> Tensor:
    power = spectrum.real**2 + spectrum.imag**2
    return power.clamp(min=MINIMUM_POWER).sqrt()


def _has_side(audio: Float[Tensor, "batch channels time"]) -> Bool[Tensor, "batch"]:
    return (audio[:, 0] - audio[:, -1]).abs().amax(dim=-1) > 1e-4


def _all(audio: Tensor) -> Bool[Tensor, "batch"]:
    return torch.ones(len(audio), dtype=torch.bool, device=audio.device)
