"""How well the parts of a sound that were made apart fit together, by the sound's own standard.

A joint is compared with all other places of the same sound: a click is high-passed energy of 2 ms
that exceeds what lies on either side of it, a gap is a step in level, as a whole or by octaves, and
a dip is a level below both sides. Where the sound itself does such things, they are no fault.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

ORDINARY = 0.96
"""The share of the other places that counts as the sound's own range."""
NOTICEABLE = 1.0
"""Decibels beyond that range at which a joint fails: the smallest step in level that is heard."""

CLICK, NEAR, ASIDE = 0.002, 0.003, 0.015
"""Seconds: the window of a click, and where the sound on either side of it begins and ends."""
LEVEL, BAND_LEVEL = 0.01, 0.02
"""Seconds of the windows whose levels are compared: of the whole, and of octaves."""
AROUND, DIP = 0.025, 0.005
"""Seconds of the sound on either side of a dip, and half of a dip's window."""
HOP = 0.005
"""Seconds between the other places."""
CLEAR = 0.06
"""Seconds around a joint, and at both ends of a sound, that are no other places."""
FEWEST = 100
"""Other places that a sound must have."""

HIGH = 0.2
"""Clicks are looked for above this share of the sample rate (8.8 kHz at 44.1 kHz)."""
OCTAVES = (0.0, 200.0, 400.0, 800.0, 1600.0, 3200.0, 6400.0, math.inf)
"""Edges of the bands, in Hz."""
FLOOR, BAND_FLOOR, HIGH_FLOOR = 1e-6, 1e-5, 1e-8
"""Powers that count as silence, relative to the whole sound's."""


class Joint(NamedTuple):
    """How far a joint is beyond the range of the other places, in dB; below 0 is inside."""

    click: float
    """High-passed energy in 2 ms that is above both sides."""
    gap: float
    """The step in level, up or down."""
    bands: float
    """The steps in level by octaves, as their root mean square."""
    fall: float
    """The same of the steps down alone: sounds begin suddenly, but seldom end so."""
    dip: float
    """The level below both sides."""

    @property
    def passes(self) -> bool:
        """Whether nothing about it is noticeably out of the range."""
        return max(self) < NOTICEABLE


def measure_joint(
    samples: Float[Tensor, "channels time"],
    sample_rate: int,
    at: int,
    *,
    width: int = 0,
    others: Sequence[int] = (),
) -> Joint:
    """Compare a joint with the other places of the same sound.

    Args:
        samples: The sound. A loop's joint is measured in the loop tiled twice.
        sample_rate: Samples per second.
        at: The joint's first sample.
        width: Samples of a crossfade that begins there; clicks and dips are looked for in all of
            it, and levels are compared across it.
        others: Further joints of the sound, which are no standard either.

    Raises:
        ValueError: When the joint is too near to an end, or the sound too short or silent.
    """
    half = -(-width // 2)
    clear = round(CLEAR * sample_rate) + half
    length = samples.shape[-1]
    centre = at + half
    if not clear <= centre <= length - clear:
        raise ValueError(
            f"a joint must be at least {clear} samples away from both ends, got {centre} of "
            f"{length}"
        )
    places = torch.arange(clear, length - clear, round(HOP * sample_rate))
    for other in (centre, *others):
        places = places[(places - other).abs() > clear]
    if len(places) < FEWEST:
        raise ValueError(
            f"the sound has {len(places)} places to compare a joint with, at least {FEWEST} are "
            f"needed: about {FEWEST * HOP + 4 * CLEAR:.1f} s"
        )
    if not samples.any():
        raise ValueError("the sound is silent; there is nothing to compare a joint with")
    measured = _measured(
        samples.double(), sample_rate, torch.cat((torch.tensor([centre]), places)), half
    )
    click, gap, bands, fall, dip = measured.unbind()
    return Joint(_above(click), _outside(gap), _above(bands), _above(fall), _above(dip))


def level_difference(
    samples: Float[Tensor, "channels time"], spans: Sequence[tuple[int, int]]
) -> float:
    """Return the level of `spans` (first sample, end) relative to the rest of a sound, in dB.

    Silence is minus infinity, and infinity where only the rest is silent.
    """
    new = torch.zeros(samples.shape[-1], dtype=torch.bool)
    for start, stop in spans:
        new[start:stop] = True
    power = samples.double().square().mean(0)
    inside, outside = float(power[new].mean()), float(power[~new].mean())
    if inside == 0:
        return -math.inf
    return 10 * math.log10(inside / outside) if outside else math.inf


def _measured(
    x: Float[Tensor, "channels time"], rate: int, places: Tensor, half: int
) -> Float[Tensor, "kinds places"]:
    whole = float(x.square().mean())
    spectrum = torch.fft.rfft(x)
    hertz = torch.fft.rfftfreq(x.shape[-1], 1 / rate)

    def band(low: float, high: float) -> Tensor:
        inside = (hertz >= low) & (hertz < high)
        filtered: Tensor = torch.fft.irfft(spectrum * inside, n=x.shape[-1])
        return filtered

    def around(seconds: float) -> int:
        return round(seconds * rate)

    click = around(CLICK)
    level = _Level(band(HIGH * rate, math.inf), HIGH_FLOOR * whole)

    def loudest(offsets: range) -> Tensor:
        first = places - click // 2
        return torch.stack([level(first + o, first + o + click) for o in offsets]).amax(0)

    aside = range(around(NEAR), around(ASIDE), click // 2)
    sides = torch.maximum(
        loudest(range(half + aside.start, half + aside.stop, aside.step)),
        loudest(range(-half - aside.start, -half - aside.stop, -aside.step)),
    )
    reach = half + click // 2
    clicks = loudest(range(-reach, reach + 1, click // 4)) - sides

    level = _Level(x, FLOOR * whole)
    gaps = level.step(places, half, around(LEVEL))
    octaves = torch.stack(
        [
            _Level(band(low, high), BAND_FLOOR * whole).step(places, half, around(BAND_LEVEL))
            for low, high in pairwise(OCTAVES)
            if low < rate / 2
        ]
    )
    bands, falls = (steps.square().mean(0).sqrt() for steps in (octaves, octaves.clamp(max=0)))

    dip, beside = around(DIP), around(AROUND)
    lowest = torch.stack(
        [level(places + o - dip, places + o + dip) for o in range(-half, half + 1, dip)]
    ).amin(0)
    edge = half + dip
    quieter = torch.minimum(
        level(places - edge - beside, places - edge), level(places + edge, places + edge + beside)
    )
    return torch.stack((clicks, gaps, bands, falls, quieter - lowest))


class _Level:
    """Mean power between samples, in dB."""

    def __init__(self, x: Float[Tensor, "channels time"], floor: float) -> None:
        power = x.square().mean(0)
        self._sums = torch.cat((power.new_zeros(1), power.cumsum(0)))
        self._floor = floor

    def __call__(self, start: Tensor, stop: Tensor) -> Tensor:
        last = len(self._sums) - 1
        start, stop = start.clamp(0, last), stop.clamp(0, last)
        power = (self._sums[stop] - self._sums[start]) / (stop - start).clamp(min=1)
        decibels: Tensor = 10 * (power.clamp(min=0) + self._floor).log10()
        return decibels

    def step(self, places: Tensor, half: int, width: int) -> Tensor:
        """Return how much louder it is after the places than before them."""
        after = self(places + half, places + half + width)
        return after - self(places - half - width, places - half)


def _above(values: Float[Tensor, "places"]) -> float:
    """Return how far the first is above the range of the others."""
    return float(values[0] - values[1:].quantile(ORDINARY))


def _outside(values: Float[Tensor, "places"]) -> float:
    """Return how far the first is out of the range of the others, on either side."""
    rest = (1 - ORDINARY) / 2
    above = float(values[0] - values[1:].quantile(1 - rest))
    return max(above, float(values[1:].quantile(rest) - values[0]))
