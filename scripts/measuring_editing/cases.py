"""Recordings with a span to generate anew, and what the measures must fail."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from stable_audio_open.audio.files import audio_info, read_audio
from stable_audio_open.data.manifest import Recording
from stable_audio_open.editing.spans import Span
from stable_audio_open.evaluation.joints import Joint, level_difference, measure_joint

SPAN = 0.6
"""Seconds of a span."""
CONTEXT = 0.6
"""Seconds that are kept on either side of it, at least."""
LEVEL_DB = 3.0
"""How far the level of what is new may be from the rest, in dB."""
FADE = 0.02
"""Seconds of the fade on either side of a joint that a measure must find."""


class Case(NamedTuple):
    """A recording, cut to the model's window, and the span in it."""

    caption: str
    family: str
    samples: Tensor
    span: Span
    other: str
    """The caption of a recording of another family."""
    other_samples: Tensor
    """That recording."""


class Verdict(NamedTuple):
    """What was measured of an edited sound."""

    joints: tuple[Joint, ...]
    level: float
    """Of what is new, relative to the rest, in dB."""

    @property
    def passes(self) -> bool:
        """Whether joints and level are in order."""
        return all(joint.passes for joint in self.joints) and abs(self.level) <= LEVEL_DB


def draw_cases(
    recordings: Sequence[Recording], folder: Path, *, count: int, rate: int, window: int, seed: int
) -> list[Case]:
    """Draw recordings that are long enough, and in each a span as loud as the rest.

    Raises:
        ValueError: When there are not enough of them.
    """
    drawn = random.Random(seed)
    shortest = 2 * CONTEXT + SPAN
    pool = [one for one in recordings if audio_info(folder / one.file).duration > shortest + 0.1]
    drawn.shuffle(pool)
    cases: list[Case] = []
    for one in pool:
        samples = _read(one, folder, rate=rate, window=window)
        span = _span_at_level(samples, rate, drawn)
        if span is None:
            continue
        other = drawn.choice([two for two in pool if two.family != one.family])
        cases.append(
            Case(
                caption=one.caption,
                family=one.family or "",
                samples=samples,
                span=span,
                other=other.caption,
                other_samples=_read(other, folder, rate=rate, window=window),
            )
        )
        if len(cases) == count:
            return cases
    raise ValueError(f"found {len(cases)} recordings with a span as loud as the rest, not {count}")


def _read(recording: Recording, folder: Path, *, rate: int, window: int) -> Tensor:
    audio = read_audio(
        folder / recording.file, sample_rate=rate, channels=2, duration=window / rate + 0.1
    )
    return audio.samples[0, :, :window]


def _span_at_level(samples: Tensor, rate: int, drawn: random.Random) -> Span | None:
    length, context = round(SPAN * rate), round(CONTEXT * rate)
    for _ in range(20):
        start = drawn.randint(context, samples.shape[-1] - context - length)
        if abs(level_difference(samples, [(start, start + length)])) < LEVEL_DB:
            return Span(start, start + length)
    return None


def judge(samples: Tensor, rate: int, span: Span, *, crossfade: int) -> Verdict:
    """Measure both joints of a span and its level."""
    edges = (span.start + crossfade // 2, span.end - crossfade // 2)
    joints = tuple(
        measure_joint(samples, rate, at, width=crossfade, others=edges)
        for at in (span.start, span.end - crossfade)
    )
    return Verdict(joints, level_difference(samples, [span]))


def controls(case: Case, rate: int) -> dict[str, Tensor]:
    """Return what must fail: another sound put in without a word, silence, and a fade."""
    start, end = case.span
    butt, silent, faded = case.samples.clone(), case.samples.clone(), case.samples.clone()
    butt[:, start:end] = case.other_samples[:, start:end]
    silent[:, start:end] = 0
    half = round(FADE * rate)
    dip = torch.linspace(-1, 1, 2 * half).abs()
    for edge in case.span:
        faded[:, edge - half : edge + half] *= dip
    return {"butt joints": butt, "silence": silent, "fades": faded}
