"""Overlapping windows over one state: denoised one by one, joined by smooth weights.

The whole has one state and one noise, and every window looks at its part of them (as MultiDiffusion
does with images, Bar-Tal et al. 2023, section 3). What a sampler sees is one denoiser, of any
length, which needs the memory of one window beside the latents.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.nn.device import sent

OVERLAP = 1 / 4
"""Part of a window that its neighbour covers too, at least."""
GOLDEN_RATIO = (math.sqrt(5) - 1) / 2
"""Steps of this part of a ring come back to no place, and spread evenly however many they are."""


@dataclass(frozen=True)
class Window:
    """A window, its denoiser, and where on the whole that denoiser is asked."""

    start: int
    """Frame of the whole at which it begins."""
    denoiser: Denoiser
    """Denoiser of x of shape `[batch, channels, frames of a window]`."""
    presence: Float[Tensor, "batch_or_1 1 frames"] | None = None
    """How much it counts in each frame of the whole, 0 to 1; everywhere 1 when None. Where several
    denoisers share a window, theirs add up to 1."""


def starts_on_a_line(frames: int, *, window: int) -> list[int]:
    """Return where equally spaced windows begin: the first at 0, the last ends with the whole.

    Args:
        frames: Frames of the whole, at least those of a window.
        window: Frames of a window.
    """
    steps = math.ceil((frames - window) / (window - least_overlap(window)))
    return [round(i * (frames - window) / max(steps, 1)) for i in range(steps + 1)]


def starts_on_a_ring(frames: int, *, window: int) -> list[int]:
    """Return where equally spaced windows on a ring of any length begin, the first at 0."""
    count = math.ceil(frames / (window - least_overlap(window)))
    return [i * frames // count for i in range(count)]


def least_overlap(window: int) -> int:
    """Return the frames of a window that its neighbour covers too, at least."""
    return min(math.ceil(window * OVERLAP), window - 1)


def ramps(frames: int, overlap: int) -> Float[Tensor, "frames"]:
    """Return weights above 0 that rise to 1 over the overlap, as sin^2, and fall alike at the end.

    The falling and the rising ramp of two windows that overlap by so much add up to 1.
    """
    centres = torch.arange(frames, dtype=torch.float64) + 0.5
    inside = torch.minimum(centres, frames - centres).clamp(max=max(overlap, 1))
    return (inside * (math.pi / 2 / max(overlap, 1))).sin() ** 2


def windowed(
    windows: Sequence[Window],
    *,
    frames: int,
    window: int,
    offset: Callable[[float], int] | None = None,
) -> Denoiser:
    """Return the denoiser of a whole: each window's x0, averaged by smooth weights.

    Args:
        windows: The windows. Those that pass the end go on at the start, as often as it takes.
        frames: Latent frames of the whole.
        window: Latent frames of a window.
        offset: Of a ring: the frames by which all windows are moved at a noise level. What comes
            out is not moved: to a solver, x0 stays where x is.
    """
    starts = sorted({one.start for one in windows})
    gaps = [after - before for before, after in pairwise([*starts, starts[0] + frames])]
    if offset is None:
        gaps = gaps[:-1]  # A line has no window behind its last one.
    weights = ramps(window, max(0, window - max(gaps, default=window)))

    def denoiser(
        x: Float[Tensor, "batch channels time"], sigma: float
    ) -> Float[Tensor, "batch channels time"]:
        moved = offset(sigma) if offset is not None else 0
        x0, total = torch.zeros_like(x), torch.zeros(1, 1, frames, dtype=torch.float64)
        for one in windows:
            start = (one.start + moved) % frames
            weight = weights[None, None]
            if one.presence is not None:
                weight = weight * _cut(one.presence, start, window)
                if not weight.any():
                    continue
            part = one.denoiser(_cut(x, start, window), sigma)
            x0 += _put(part * sent(weight, x.device, x.dtype), start, frames)
            total = total + _put(weight, start, frames)
        return x0 / sent(total, x.device, x.dtype)

    return denoiser


def golden_offsets(sigmas: Sequence[float], frames: int) -> Callable[[float], int]:
    """Return offsets of the windows on a ring: another one at each noise level of a run.

    They are a function of sigma alone, so samplers may evaluate a level as often as they like.

    Args:
        sigmas: Descending noise levels of the run.
        frames: Latent frames of the ring.
    """
    rising = [-sigma for sigma in sigmas]

    def offset(sigma: float) -> int:
        # Samplers that hold sigma in float32 are to find the same level.
        step = bisect_right(rising, -sigma * (1 - 1e-6)) - 1
        return int(math.modf(step * GOLDEN_RATIO)[0] * frames)

    return offset


def _cut(x: Tensor, start: int, length: int) -> Tensor:
    """Return the frames from `start` on of a ring, as often around as it takes."""
    copies = -(-(start + length) // x.shape[-1])
    if copies > 1:
        x = torch.cat([x] * copies, dim=-1)
    return x[..., start : start + length]


def _put(part: Tensor, start: int, frames: int) -> Tensor:
    """Return a ring on which the frames of a part lie from `start` on; those that meet add up.

    In a fixed order, which is not promised of `index_add` on every device.
    """
    copies = -(-part.shape[-1] // frames)
    part = F.pad(part, (0, copies * frames - part.shape[-1]))
    total: Tensor = part.unflatten(-1, (copies, frames)).sum(dim=-2)
    return total.roll(start, dims=-1)
