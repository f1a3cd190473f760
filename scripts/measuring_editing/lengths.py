"""Long sounds and loops: joints, and levels.

A joint passes within the range of the other places of its sound, so other places pass now and then
only; "elsewhere" is how many of the other places would have passed.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from stable_audio_open.editing.loops import plan_ring
from stable_audio_open.editing.windows import least_overlap, starts_on_a_line
from stable_audio_open.evaluation.joints import measure_joint
from stable_audio_open.pretrained import StableAudio

BATCH = 10
"""Sounds at once."""
SILENT_DB = -60.0
"""A sound whose level is below this, in dB of full scale, counts as silent."""


def measure_loops(
    model: StableAudio,
    prompts: Sequence[str],
    *,
    durations: Sequence[float],
    steps: int,
    seed: int,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """Return how many loops pass where their end meets their start, and their levels.

    Beside them stand what must fail, two loops of neighbouring prompts put end to end, and plain
    generations that are repeated.
    """
    rate = model.sample_rate
    figures: dict[str, Any] = {"cases": len(prompts)}
    for duration in durations:
        told(f"{len(prompts)} loops of {duration:g} s")
        loops = _made(model, prompts, steps, seed, duration=duration, loop=True)
        short = min(duration, model.window_seconds)
        plain = _made(model, prompts, steps, seed, duration=short)
        ring = plan_ring(duration, sample_rate=rate, hop=model.autoencoder.downsampling)
        width = ring.frames * model.autoencoder.downsampling - ring.samples if ring.closed else 0
        joints = [_joint(loop, loop, rate, width=width) for loop in loops]
        others = [
            _joint(one, two, rate) for one, two in zip(loops, loops[1:] + loops[:1], strict=True)
        ]
        cut = [_joint(sound, sound, rate) for sound in plain]
        elsewhere = [
            measure_joint(loop.repeat(1, 2), rate, round((0.5 + part) * loop.shape[-1])).passes
            for loop in loops
            for part in (0.1, 0.25, 0.4, 0.6, 0.75, 0.9)
        ]
        levels = [(_level(a), _level(b)) for a, b in zip(loops, plain, strict=True)]
        figures[f"{duration:g} s"] = {
            "closed by": "crossfade" if ring.closed else "resampling",
            "passed": sum(excess < 1 for excess in joints),
            "median_excess_db": round(statistics.median(joints), 2),
            "largest_excess_db": round(max(joints), 2),
            "elsewhere": round(len(loops) * statistics.fmean(elsewhere), 1),
            "passed_end_to_end_with_another": sum(excess < 1 for excess in others),
            "passed_plain_repeated": sum(excess < 1 for excess in cut),
            "silent": sum(level < SILENT_DB for level, _ in levels),
            "median_level_above_plain_db": round(statistics.median(a - b for a, b in levels), 2),
        }
    return figures


def measure_long(
    model: StableAudio,
    prompts: Sequence[str],
    *,
    duration: float,
    steps: int,
    seed: int,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """Return the levels of the overlaps beside those of the centres, and how many joints pass.

    Joints are the middles of overlaps. What must fail is windows that were made apart, put end to
    end there.
    """
    rate, hop, window = model.sample_rate, model.autoencoder.downsampling, model.window_frames
    frames = math.ceil(round(duration * rate) / hop)
    starts = starts_on_a_line(frames, window=window)
    told(f"{len(prompts)} sounds of {duration:g} s in {len(starts)} windows")
    sounds = _made(model, prompts, steps, seed, duration=duration)
    apart = _made(model, prompts, steps, seed)
    edges = [(after, before + window) for before, after in pairwise(starts)]
    middles = [(low + high) // 2 * hop for low, high in edges]
    levels, high_levels, joints, elsewhere = [], [], [], []
    for sound in sounds:
        for low, high in edges:
            levels.append(_beside(sound, low * hop, high * hop))
            high_levels.append(_beside(_above(sound, rate, 4000.0), low * hop, high * hop))
        for at in middles:
            joints.append(max(measure_joint(sound, rate, at, others=middles)))
            shifted = at - least_overlap(window) * hop
            elsewhere.append(measure_joint(sound, rate, shifted, others=middles).passes)
    put_together = [
        _joint(one, two, rate) for one, two in zip(apart, apart[1:] + apart[:1], strict=True)
    ]
    return {
        "cases": len(prompts),
        "seconds": duration,
        "windows": len(starts),
        "joints": len(joints),
        "median_level_of_overlaps_db": round(statistics.median(levels), 2),
        "quartiles_of_that_db": [round(v, 2) for v in statistics.quantiles(levels, n=4)],
        "median_level_above_4_khz_db": round(statistics.median(high_levels), 2),
        "passed": sum(excess < 1 for excess in joints),
        "elsewhere": sum(elsewhere),
        "passed_end_to_end_with_another_of_20": sum(excess < 1 for excess in put_together),
    }


def _made(
    model: StableAudio, prompts: Sequence[str], steps: int, seed: int, **length: Any
) -> list[Tensor]:
    sounds: list[Tensor] = []
    for first in range(0, len(prompts), BATCH):
        audio = model.generate(
            list(prompts[first : first + BATCH]),
            steps=steps,
            seed=seed + first,
            progress=False,
            **length,
        )
        sounds += list(audio.samples)
    return sounds


def _joint(before: Tensor, after: Tensor, rate: int, *, width: int = 0) -> float:
    """Return how far the joint of two sounds is out of their range, in dB."""
    both = torch.cat((before, after), dim=-1)
    return max(measure_joint(both, rate, before.shape[-1], width=width))


def _level(samples: Tensor) -> float:
    return 10 * math.log10(float(samples.double().square().mean()) + 1e-20)


def _beside(samples: Tensor, low: int, high: int) -> float:
    """Return the level of the middle of an overlap relative to both sides of it, in dB."""
    quarter = (high - low) // 4
    inside = _level(samples[..., low + quarter : high - quarter])
    width = high - low - 2 * quarter
    before = _level(samples[..., low - quarter - width : low - quarter])
    after = _level(samples[..., high + quarter : high + quarter + width])
    return inside - (before + after) / 2


def _above(samples: Tensor, rate: int, hertz: float) -> Tensor:
    spectrum = torch.fft.rfft(samples)
    spectrum[..., torch.fft.rfftfreq(samples.shape[-1], 1 / rate) < hertz] = 0
    high: Tensor = torch.fft.irfft(spectrum, n=samples.shape[-1])
    return high
