"""Distances between a decoded signal and its original (section 4.1, reference [23]).

The multi-resolution STFT distance is that of auraloss, whose ratio of the whole batch a mean over
items may take the place of; the spectra of left and right are computed
once and give those of mid and side, because the transform and the A-weighting are linear.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from stable_audio_open.losses.a_weighting import a_weighting_filter
from stable_audio_open.nn.mel import mel_decibels, mel_filters
from stable_audio_open.nn.spectrum import magnitude, short_time_spectrum

# A side that never reaches this share of the signal's peak (-40 dB) is none: dither, rounding.
SILENT_SIDE = 0.01

# Norm of no item; those of any magnitudes are larger, which are at least 1e-4 each.
NO_NORM = 1e-12

Reference = Literal["decoded", "target"]
Convergence = Literal["item", "batch"]


class ReconstructionTerms(NamedTuple):
    """Unweighted terms; `side` is 0 when every item was left out of it."""

    mid: Float[Tensor, ""]
    side: Float[Tensor, ""]
    left: Float[Tensor, ""]
    right: Float[Tensor, ""]
    mel: Float[Tensor, ""]
    waveform: Float[Tensor, ""]


def spectral_distance(
    decoded: Float[Tensor, "batch frames bins"],
    target: Float[Tensor, "batch frames bins"],
    *,
    reference: Reference,
    convergence: Convergence,
    kept: Bool[Tensor, "batch"] | None = None,
) -> Float[Tensor, ""]:
    """Spectral convergence plus the mean L1 distance of log magnitudes.

    Args:
        decoded: Magnitudes of the decoded signal.
        target: Magnitudes of the original.
        reference: The signal whose norm divides the convergence.
        convergence: `item` is the mean over items of ||target - decoded|| / ||reference||, `batch`
            one such ratio of all items together.
        kept: Items that count; the distance of the others is 0 by `item`, and `batch` takes
            neither their norms nor their logarithms. All count where None.
    """
    one = _item_distance if convergence == "item" else _batch_distance
    return one(decoded, target, decoded if reference == "decoded" else target, kept)


def _item_distance(
    decoded: Tensor, target: Tensor, reference: Tensor, kept: Tensor | None
) -> Tensor:
    ratios = _norms(target - decoded) / _norms(reference)
    logarithms = F.l1_loss(decoded.log(), target.log(), reduction="none").mean(dim=(1, 2))
    distances = ratios + logarithms
    return (distances if kept is None else distances.where(kept, 0)).mean()


def _batch_distance(
    decoded: Tensor, target: Tensor, reference: Tensor, kept: Tensor | None
) -> Tensor:
    difference = target - decoded
    if kept is None:
        logarithms = F.l1_loss(decoded.log(), target.log())
    else:  # no choice by values: the same steps whatever was recorded
        weight = kept.to(decoded.dtype)[:, None, None]
        difference, reference = difference * weight, reference * weight
        distances = F.l1_loss(decoded.log(), target.log(), reduction="none").mean(dim=(1, 2))
        logarithms = distances.where(kept, 0).sum() / kept.sum().clamp(min=1)
    norm = torch.linalg.vector_norm(reference).clamp(min=NO_NORM)
    distance: Tensor = torch.linalg.vector_norm(difference) / norm + logarithms
    return distance


def _norms(planes: Float[Tensor, "batch frames bins"]) -> Float[Tensor, "batch"]:
    norms: Tensor = torch.linalg.vector_norm(planes, dim=(1, 2))
    return norms


class StereoSpectralLoss(nn.Module):
    """Spectral distances of mid (L+R), side (L-R), left and right, averaged over resolutions.

    Args:
        sample_rate: Hertz, for the A-weighting.
        fft_sizes: Windows (Hann) in samples; the hop is a quarter of each.
        a_weighting: Filter both signals by the A curve first (101 taps).
        reference: The signal whose norm divides the spectral convergence; in the published
            training it is the decoded one.
        convergence: `item` is the mean over items of the ratio of each item's norms: what a batch
            gives does not depend on how it is split over processes. `batch` is the ratio of the
            whole batch's norms, as in auraloss. The published training ran before its authors'
            code changed from `batch` to `item` (0.0.16), so with ratios of the four items of a GPU.
        skip_silent_side: Leave items whose original has next to no side (mono recordings) out of
            the side term: it would dominate the whole loss by its logarithm and its small norm.
            The published training has it of all. By `item` the side of those left out is 0, by
            `batch` the term is that of the others alone.
        mel: Compute the mel term too (0 otherwise).
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        fft_sizes: Sequence[int],
        a_weighting: bool = True,
        reference: Reference = "decoded",
        convergence: Convergence = "item",
        skip_silent_side: bool = True,
        mel: bool = False,
    ) -> None:
        super().__init__()
        self.fft_sizes = tuple(fft_sizes)
        self.reference: Reference = reference
        self.convergence: Convergence = convergence
        self.skip_silent_side = skip_silent_side
        self.mel = mel
        taps = a_weighting_filter(sample_rate) if a_weighting else None
        self.register_buffer("taps", taps, persistent=False)
        for size in self.fft_sizes:
            self.register_buffer(f"window_{size}", torch.hann_window(size), persistent=False)
            if mel:
                filters = mel_filters(size, sample_rate=sample_rate)
                self.register_buffer(f"filters_{size}", filters, persistent=False)

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
        heard = _has_side(target) if self.skip_silent_side else None
        zero = decoded.new_zeros(())
        waveform = F.l1_loss(decoded, target)
        decoded, target = self._weight(decoded), self._weight(target)
        planes = [zero] * 4
        mel = zero
        for size in self.fft_sizes:
            pairs = zip(
                self._magnitudes(decoded, size), self._magnitudes(target, size), strict=True
            )
            for index, (mine, theirs) in enumerate(pairs):
                if index >= 2 and self.mel:
                    filters = self.get_buffer(f"filters_{size}")
                    mel = mel + F.l1_loss(
                        mel_decibels(mine, filters), mel_decibels(theirs, filters)
                    )
                planes[index] = planes[index] + spectral_distance(
                    mine,
                    theirs,
                    reference=self.reference,
                    convergence=self.convergence,
                    kept=heard if index == 1 else None,
                )
        count = len(self.fft_sizes)
        mid, side, left, right = (plane / count for plane in planes)
        return ReconstructionTerms(mid, side, left, right, mel / (2 * count), waveform)

    def _magnitudes(self, audio: Tensor, size: int) -> Iterator[Tensor]:
        """Yield those of mid, side, left and right."""
        spectra = short_time_spectrum(audio, self.get_buffer(f"window_{size}").to(audio.dtype))
        left, right = spectra[:, 0], spectra[:, -1]
        for plane in (left + right, left - right, left, right):
            yield magnitude(plane)

    def _weight(self, audio: Tensor) -> Tensor:
        taps = self.taps
        if taps is None:
            return audio
        assert isinstance(taps, Tensor)
        flat = audio.reshape(-1, 1, audio.shape[-1])
        weighted = F.conv1d(flat, taps.to(audio.dtype)[None, None], padding=len(taps) // 2)
        return weighted.reshape(audio.shape)

    def extra_repr(self) -> str:
        """Show the resolutions."""
        return (
            f"fft_sizes={self.fft_sizes}, reference={self.reference!r}, "
            f"convergence={self.convergence!r}"
        )


def _has_side(audio: Float[Tensor, "batch channels time"]) -> Bool[Tensor, "batch"]:
    side = (audio[:, 0] - audio[:, -1]).abs().amax(dim=-1)
    return side > SILENT_SIDE * audio.abs().amax(dim=(1, 2))
