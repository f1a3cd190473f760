"""Distances between a decoded recording and its original, as auraloss has them by default.

Section 4.1, tables 3 and 4: "STFT distance, MEL distance and SI-SDR (as in auraloss library [23],
with its default parameters)". Spectral convergence is one ratio over everything that is given, so
that recordings must be given one by one.
"""

from functools import cache

import auraloss
import msgspec
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torchaudio.functional import melscale_fbanks

from stable_audio_open.audio.level.silence import is_silent

SHORTEST = 2048
"""Samples; auraloss cannot measure less than its longest window."""


class Distances(msgspec.Struct, frozen=True, kw_only=True):
    """Distances of one recording."""

    stft: float
    """`STFTLoss`: windows of 1024 samples, 256 apart."""
    mel: float
    """`MelSTFTLoss`: the same with 128 mel bands."""
    multi_resolution_stft: float
    """`MultiResolutionSTFTLoss`: mean over windows of 600, 1200 and 240 samples."""
    si_sdr: float
    """Scale-invariant signal-to-distortion ratio in dB: more is better. Mean over the channels of
    the original that have sound, since no ratio to silence means anything."""


def reconstruction_distances(
    decoded: Float[Tensor, "channels time"],
    original: Float[Tensor, "channels time"],
    *,
    sample_rate: int,
) -> Distances:
    """Compare a decoded recording with its original.

    Args:
        decoded: A signal of the same shape.
        original: What is shorter than 2048 samples is followed by silence, on both sides. Of one
            that is silent throughout, all channels count.
        sample_rate: In hertz, of both.
    """
    assert decoded.shape == original.shape
    padding = max(0, SHORTEST - original.shape[-1])
    ours, theirs = (F.pad(one, (0, padding))[None] for one in (decoded, original))
    sounding = sounding_channels(original) or list(range(len(original)))
    return Distances(
        stft=float(auraloss.freq.STFTLoss()(ours, theirs)),
        mel=float(mel_distance(sample_rate)(ours, theirs)),
        multi_resolution_stft=float(auraloss.freq.MultiResolutionSTFTLoss()(ours, theirs)),
        si_sdr=-float(auraloss.time.SISDRLoss()(ours[:, sounding], theirs[:, sounding])),
    )


def sounding_channels(samples: Float[Tensor, "channels time"]) -> list[int]:
    """Return the numbers of the channels that exceed -60 dB of full scale."""
    return [place for place, channel in enumerate(samples) if not is_silent(channel)]


@cache
def mel_distance(sample_rate: int) -> auraloss.freq.STFTLoss:
    """Return auraloss' MelSTFTLoss with its defaults, whose filters it would ask librosa for."""
    loss = auraloss.freq.STFTLoss(fft_size=1024, hop_size=256, win_length=1024)
    filters = melscale_fbanks(
        513, 0.0, sample_rate / 2, 128, sample_rate, norm="slaney", mel_scale="slaney"
    )
    loss.scale = "mel"
    loss.fb = filters.T[None]
    return loss
