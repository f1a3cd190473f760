"""Join what is new to what is kept, in samples.

Nothing that was removed takes part: beside a span, the kept sound goes on as its mirror image,
which has the same level and spectrum and begins with the value at the edge.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.editing.spans import Span, kept_parts

LOOKAHEAD = 0.005
"""Seconds in which the limiter turns down and up again."""

OCTAVES = (0.0, *(0.5 / 2**n for n in range(8, 0, -1)), 1.0)
"""Edges of the bands in which levels are compared, in parts of the sample rate (86 Hz to 11 kHz at
44.1 kHz)."""
WEAKEST, STRONGEST = 0.1, 4.0
"""Gains by which a band is corrected at most."""
FAINT = 0.01
"""Energy of what is kept, in parts of what is new, at which half of a correction is left: what an
autoencoder does to a faint tail is not what it does to the sound."""


def mirrored(
    samples: Float[Tensor, "*lead time"], spans: Sequence[Span], reach: int
) -> Float[Tensor, "*lead time"]:
    """Return the sound with each span replaced by the mirror images of its surroundings.

    Each fades along a quarter of a cosine within `reach` samples; the other side's does the same,
    and between them is silence. Where less is kept beside a span, its image ends with that.

    Args:
        samples: The sound.
        spans: In samples and in order.
        reach: Samples on either side, at most the span's.
    """
    out = samples.clone()
    for span in spans:
        out[..., span.start : span.end] = 0
    for (start, end), before, behind in _with_surroundings(spans, samples.shape[-1]):
        n = min(reach, before.end - before.start, end - start)
        out[..., start : start + n] += samples[..., start - n : start].flip(-1) * _fade(n, samples)
        n = min(reach, behind.end - behind.start, end - start)
        image = samples[..., end : end + n] * _fade(n, samples)
        out[..., end - n : end] += image.flip(-1)
    return out


def joined(
    kept: Float[Tensor, "*lead time"],
    new: Float[Tensor, "*lead time"],
    spans: Sequence[Span],
    *,
    crossfade: int,
    lookahead: int,
) -> Float[Tensor, "*lead time"]:
    """Put what is new into the spans; outside of them the result equals `kept`, sample by sample.

    At the edges of a span, inside it, an equal-power crossfade leads from the mirror image of what
    is kept to what is new. Where the sum would exceed full scale, or the loudest that is kept of
    the item, what is new is turned down.

    Args:
        kept: The sound.
        new: As long as the sound; what is outside of the spans is not used.
        spans: In samples and in order.
        crossfade: Samples of a crossfade; at most half of a span, and of what is kept beside it.
        lookahead: Samples in which the limiter turns down and up again.
    """
    out = kept.clone()
    ceiling = kept.new_ones(*kept.shape[:-2], 1, 1)
    for part in kept_parts(spans, samples=kept.shape[-1]):
        if part.start < part.end:
            loudest = kept[..., part.start : part.end].abs().amax((-2, -1), keepdim=True)
            ceiling = torch.maximum(ceiling, loudest)
    for span, before, behind in _with_surroundings(spans, kept.shape[-1]):
        half = min(crossfade, (span.end - span.start) // 2)
        rise = min(half, before.end - before.start)
        fall = min(half, behind.end - behind.start)
        inside = new[..., span.start : span.end].clone()
        image = torch.zeros_like(inside)
        if rise:
            fade = _fade(rise, kept)
            inside[..., :rise] *= fade.flip(-1)
            image[..., :rise] = kept[..., span.start - rise : span.start].flip(-1) * fade
        if fall:
            fade = _fade(fall, kept)
            inside[..., -fall:] *= fade
            image[..., -fall:] += (kept[..., span.end : span.end + fall] * fade).flip(-1)
        gain = _limiting_gain(image, inside, ceiling=ceiling, lookahead=lookahead)
        out[..., span.start : span.end] = image + gain * inside
    return out


def recovered(
    decoded: Float[Tensor, "channels time"],
    kept: Float[Tensor, "channels time"],
    spans: Sequence[Span],
) -> Float[Tensor, "channels time"]:
    """Give a decoded sound the spectrum back that its autoencoder has changed.

    What that is, the sound outside of the spans tells, octave by octave: a filter without delay
    whose gain goes smoothly from the centre of one to that of the next. The fainter it is beside
    what is new, the less it counts.

    Args:
        decoded: All of the window as it was decoded.
        kept: All of the window as it was before; the spans are not used.
        spans: In samples.
    """
    outside = torch.ones(kept.shape[-1], dtype=torch.bool)
    for span in spans:
        outside[max(span.start, 0) : max(span.end, 0)] = False
    hertz = torch.fft.rfftfreq(kept.shape[-1])
    wanted, found = torch.fft.rfft(kept * outside), torch.fft.rfft(decoded * outside)
    new = torch.fft.rfft(decoded * ~outside)
    centres, gains = [], []
    for low, high in pairwise(OCTAVES):
        band = (hertz >= low) & (hertz < high)
        energy, original = found[..., band].abs().square().sum(), wanted[..., band].abs().square()
        like_one = FAINT * new[..., band].abs().square().sum()
        gain = 1.0
        if energy > 0 and original.any():
            gain = float(((original.sum() + like_one) / (energy + like_one)).sqrt())
        centres.append(math.log(math.sqrt(max(low, OCTAVES[1] / 4) * min(high, 0.5))))
        gains.append(math.log(min(max(gain, WEAKEST), STRONGEST)))
    at = np.interp(hertz.clamp(min=OCTAVES[1] / 4).log().numpy(), centres, gains)
    curve = torch.from_numpy(np.exp(at)).to(decoded.dtype)
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(decoded) * curve, n=decoded.shape[-1])
    return filtered


def _with_surroundings(spans: Sequence[Span], samples: int) -> list[tuple[Span, Span, Span]]:
    """Return each span with what is kept before and behind it."""
    parts = kept_parts(spans, samples=samples)
    around = zip(spans, pairwise(parts), strict=True)
    return [(span, before, behind) for span, (before, behind) in around]


def _fade(length: int, like: Tensor) -> Float[Tensor, "length"]:
    """A quarter of a cosine, from near 1 to near 0; its square and its mirror's add up to 1."""
    steps = torch.arange(length, dtype=torch.float64)
    return ((steps + 0.5) / max(length, 1) * (math.pi / 2)).cos().to(like)


def _limiting_gain(
    image: Float[Tensor, "*lead time"],
    new: Float[Tensor, "*lead time"],
    *,
    ceiling: Float[Tensor, "*lead_but_channels 1 1"],
    lookahead: int,
) -> Float[Tensor, "*lead_but_channels 1 time"]:
    """The gain of what is new with which the sum stays below the ceiling, the same in all channels.

    The lowest gain that is needed near a sample, smoothed over the same distance, is nowhere above
    what is needed there.
    """
    room = (ceiling - image.abs()).clamp(min=0)
    needed = torch.where((image + new).abs() > ceiling, room / new.abs().clamp(min=1e-9), 1.0)
    needed = needed.clamp(max=1).amin(-2, keepdim=True)
    if bool((needed == 1).all()):
        return needed
    width = 2 * lookahead + 1
    rows = needed.reshape(-1, 1, needed.shape[-1])
    lowest = -F.max_pool1d(F.pad(-rows, (2 * lookahead,) * 2, value=-1.0), width, stride=1)
    window = torch.hann_window(width + 2, periodic=False, dtype=rows.dtype)[1:-1]
    smooth = F.conv1d(lowest, (window / window.sum())[None, None].to(rows.device))
    return smooth.clamp(max=1).reshape(needed.shape)
