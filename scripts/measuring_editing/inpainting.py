"""Inpainting: joints, level, adherence to the prompt and use of the context."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any, get_args

import torch
from torch import Tensor
from torchaudio.functional import melscale_fbanks

from measuring_editing.cases import Case, Verdict, controls, judge
from stable_audio_open.audio.audio import Audio
from stable_audio_open.editing.inpainting import CROSSFADE
from stable_audio_open.editing.joining import LOOKAHEAD, joined, recovered
from stable_audio_open.editing.span_generation import Edges
from stable_audio_open.pretrained import StableAudio

EDGE = 0.1
"""Seconds at either edge of a span whose spectrum is compared with the removed one's."""
FLOOR_DB = -80.0


def mel_levels(samples: Tensor, rate: int) -> Tensor:
    """Return the mean spectrum of a sound in 64 mel bands, in dB."""
    window = torch.hann_window(1024)
    spectrum = torch.stft(
        samples.mean(0), 1024, hop_length=256, window=window, center=False, return_complex=True
    )
    filters = melscale_fbanks(513, 30.0, rate / 2, 64, rate)
    power = (spectrum.abs() / (window.sum() / 2)).square().mean(-1) @ filters
    levels: Tensor = 10 * power.clamp(min=10 ** (FLOOR_DB / 10)).log10()
    return levels


def apart(first: Tensor, second: Tensor, rate: int, *, loudness: bool) -> float:
    """Return the root mean square difference of two mean spectra in dB."""
    difference = mel_levels(first, rate) - mel_levels(second, rate)
    if not loudness:
        difference = difference - difference.mean()
    return float(difference.square().mean().sqrt())


def edge_distance(samples: Tensor, case: Case, rate: int) -> float:
    """Return how far the edges of the span are from the removed original, in dB."""
    fade, width = round(CROSSFADE * rate), round(EDGE * rate)
    starts = (case.span.start + fade, case.span.end - fade - width)
    return statistics.fmean(
        apart(
            samples[:, start : start + width],
            case.samples[:, start : start + width],
            rate,
            loudness=True,
        )
        for start in starts
    )


def adherence(samples: Tensor, case: Case, rate: int) -> float:
    """Return how much nearer the span is to the other caption's recording than to its own, in dB.

    Spectra are compared without their loudness.
    """
    inside = samples[:, case.span.start : case.span.end]
    own = apart(inside, case.samples, rate, loudness=False)
    return own - apart(inside, case.other_samples, rate, loudness=False)


def measure(
    model: StableAudio,
    cases: Sequence[Case],
    *,
    steps: int,
    resampling: int,
    seed: int,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """Return the figures of all ways to treat the edges, beside what must fail."""
    rate = model.sample_rate
    fade = round(CROSSFADE * rate)
    verdicts: dict[str, list[Verdict]] = {}
    distances: dict[str, list[float]] = {}
    adherences: dict[str, list[float]] = {}

    def inpainted(case: Case, prompt: str, number: int, edges: Edges) -> Tensor:
        audio = model.inpaint(
            Audio(case.samples[None], rate),
            prompt,
            spans=[(case.span.start / rate, case.span.end / rate)],
            steps=steps,
            resampling=resampling,
            seed=seed + number,
            edges=edges,
            progress=False,
        )
        return audio.samples[0]

    def pasted(case: Case, prompt: str, number: int) -> Tensor:
        """Return an independent generation, put in the same way."""
        length = case.samples.shape[-1]
        made = model.generate(
            prompt, duration=length / rate, steps=steps, seed=seed + number, progress=False
        )
        new = torch.zeros_like(case.samples)
        new[:, : made.samples.shape[-1]] = made.samples[0, :, :length]
        return put_in(case, new)

    def put_in(case: Case, new: Tensor) -> Tensor:
        return joined(
            case.samples, new, [case.span], crossfade=fade, lookahead=round(LOOKAHEAD * rate)
        )

    def count(name: str, samples: Tensor, case: Case) -> None:
        verdicts.setdefault(name, []).append(judge(samples, rate, case.span, crossfade=fade))

    for number, case in enumerate(cases):
        told(f"case {number + 1} of {len(cases)}: {case.caption}")
        count("untouched", case.samples, case)
        for name, samples in controls(case, rate).items():
            count(name, samples, case)
        decoded = recovered(
            model.autoencoder.reconstruct(case.samples[None])[0], case.samples, [case.span]
        )
        known = put_in(case, decoded)
        count("reconstruction", known, case)
        distances.setdefault("reconstruction", []).append(edge_distance(known, case, rate))
        independent = pasted(case, case.caption, number)
        count("pasted", independent, case)
        distances.setdefault("pasted", []).append(edge_distance(independent, case, rate))
        for edges in get_args(Edges):
            samples = inpainted(case, case.caption, number, edges)
            count(edges, samples, case)
            distances.setdefault(edges, []).append(edge_distance(samples, case, rate))
        samples = inpainted(case, case.other, number, "mirrored")
        count("mirrored, other prompt", samples, case)
        adherences.setdefault("mirrored", []).append(adherence(samples, case, rate))
        adherences.setdefault("untouched", []).append(adherence(case.samples, case, rate))
        other = pasted(case, case.other, number)
        count("pasted, other prompt", other, case)
        adherences.setdefault("pasted", []).append(adherence(other, case, rate))
    return {
        "cases": len(cases),
        "passed": {name: sum(one.passes for one in found) for name, found in verdicts.items()},
        "joints_passed": {
            name: sum(all(joint.passes for joint in one.joints) for one in found)
            for name, found in verdicts.items()
        },
        "median_excess_db": {
            name: round(statistics.median(max(map(max, one.joints)) for one in found), 2)
            for name, found in verdicts.items()
        },
        "median_level_db": {
            name: round(statistics.median(one.level for one in found), 2)
            for name, found in verdicts.items()
        },
        "edges_nearer_than_pasted": {
            name: sum(a < b for a, b in zip(found, distances["pasted"], strict=True))
            for name, found in distances.items()
        },
        "median_edge_distance_db": {
            name: round(statistics.median(found), 2) for name, found in distances.items()
        },
        "nearer_to_the_prompt": {
            name: sum(one > 0 for one in found) for name, found in adherences.items()
        },
        "median_adherence_db": {
            name: round(statistics.median(found), 2) for name, found in adherences.items()
        },
    }
