"""Variations of recordings: how far each strength leads from the sound."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from measure_tiny import log_mel
from torch import Tensor

from measuring_editing.cases import Case
from stable_audio_open.pretrained import StableAudio

STRENGTHS = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Parts of the diffusion time."""
LEAST = 0.1
"""Of the whole way, that each strength should lead on."""


def measure_variations(
    model: StableAudio,
    cases: Sequence[Case],
    *,
    steps: int,
    seed: int,
    told: Callable[[str], None],
) -> dict[str, Any]:
    """Return how far each strength leads, from the recordings' captions and from others.

    The whole way is the distance at a strength of 1, which is a generation that knows nothing of
    the sound. All strengths have the same noise.
    """
    figures: dict[str, Any] = {"cases": len(cases)}
    for prompt in ("caption", "other"):
        told(f"{len(cases)} sounds varied by {len(STRENGTHS)} strengths, {prompt}")
        sounds = [
            [
                model.generate(
                    getattr(case, prompt),
                    duration=case.samples.shape[-1] / model.sample_rate,
                    init_audio=(case.samples, model.sample_rate),
                    init_strength=strength,
                    steps=steps,
                    seed=seed + number,
                    progress=False,
                ).samples
                for strength in (0.0, *STRENGTHS)
            ]
            for number, case in enumerate(cases)
        ]
        figures[prompt] = {
            name: _ways([[distance(model, one, made[0]) for one in made[1:]] for made in sounds])
            for name, distance in DISTANCES.items()
        }
    return figures


def _log_mel_distance(model: StableAudio, one: Tensor, two: Tensor) -> float:
    """Return the mean difference of log-mel spectrograms in dB."""
    rate = model.sample_rate
    spectra = [log_mel(x[0], sample_rate=rate, seconds=x.shape[-1] / rate) for x in (one, two)]
    return float((spectra[0] - spectra[1]).abs().mean())


def _latent_distance(model: StableAudio, one: Tensor, two: Tensor) -> float:
    """Return the root mean square of the difference of the latents."""
    latents = [model.autoencoder.encode(x) for x in (one, two)]
    return float((latents[0] - latents[1]).square().mean().sqrt())


DISTANCES = {"log-mel, dB": _log_mel_distance, "latents": _latent_distance}


def _ways(ways: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return means over sounds, and how far each strength leads on."""
    means = [statistics.fmean(column) for column in zip(*ways, strict=True)]
    led = [after - before for before, after in pairwise((0.0, *means))]
    return {
        "distance": {f"{s:g}": round(mean, 3) for s, mean in zip(STRENGTHS, means, strict=True)},
        "part_of_the_way": {
            f"{s:g}": round(part / means[-1], 3) for s, part in zip(STRENGTHS, led, strict=True)
        },
        "each_leads_on": all(part >= LEAST * means[-1] for part in led),
        "sounds_in_which_distances_rise": sum(list(way) == sorted(way) for way in ways),
    }
