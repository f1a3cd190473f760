"""Measure how far spoilt recordings are from the same recordings, by the metrics of `evaluate`.

    python scripts/measure_listeners.py --data data/sonic_pi/audio --listener musicnn

The recordings as they are, low-passed, with more and more white noise, and silent: a listener that
is of use puts the same first, then the low-passed, then the noisy ones at `--noise`, then silence.
It ends with 1 where one of its metrics does not.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor
from torchaudio.functional import lowpass_biquad

from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.level.peaks import limit_peak
from stable_audio_open.audio.paths import audio_files
from stable_audio_open.audio.writing.saving import save_audio
from stable_audio_open.audio_models.registry import EMBEDDERS, TAGGERS, Role
from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.frechet.distance import evaluate_frechet
from stable_audio_open.evaluation.kl import evaluate_kl
from stable_audio_open.evaluation.sets import recordings_by_id

CUTOFF = 2000.0
"""Hertz, of the low-passed recordings: 24 dB an octave."""
NOISES = (-20.0, -10.0, 0.0)
"""Decibels relative to the recording's power."""

Listener = TypeVar("Listener")
Spoil = Callable[[Tensor, int, torch.Generator], Tensor]


def low_passed(audio: Tensor, rate: int, _: torch.Generator) -> Tensor:
    """Take away what is above 2 kHz."""
    filtered: Tensor = lowpass_biquad(lowpass_biquad(audio, rate, CUTOFF), rate, CUTOFF)
    return filtered


def noisy(decibels: float) -> Spoil:
    """Add white noise of this power relative to the recording's."""

    def spoil(audio: Tensor, _: int, generator: torch.Generator) -> Tensor:
        level = audio.square().mean().sqrt() * 10 ** (decibels / 20)
        return audio + level * torch.randn(audio.shape, generator=generator)

    return spoil


def silent(audio: Tensor, _: int, __: torch.Generator) -> Tensor:
    """Leave nothing."""
    return torch.zeros_like(audio)


def spoilt(source: Path, folder: Path, spoil: Spoil, *, seed: int) -> Path:
    """Write all recordings of a folder, spoilt in one way, as WAV of floats."""
    folder.mkdir()
    for place, path in enumerate(sorted(audio_files(source))):
        audio = read_audio(path)
        generator = torch.Generator().manual_seed(seed + place)
        samples, _ = limit_peak(spoil(audio.samples[0], audio.sample_rate, generator))
        save_audio(folder / f"{path.stem}.wav", samples, audio.sample_rate, subtype="float")
    return folder


def measured(
    data: Path, listener: str, changes: Mapping[str, Spoil], *, seed: int
) -> dict[str, dict[str, float]]:
    """Print and return the distances of each set, by the metrics that the listener serves.

    Raises:
        ValueError: There is no such listener, or it cannot compare the recordings.
    """
    recordings_by_id(data)
    embedder = listener_for(EMBEDDERS, listener)
    tagger = listener_for(TAGGERS, listener)
    if embedder is None and tagger is None:
        raise ValueError(f"no listener {listener!r}; allowed: {EMBEDDERS.allowed}")
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        references = spoilt(data, root / "references", changes["same"], seed=seed)
        memory = ResultCache()
        for name, change in changes.items():
            made = spoilt(data, root / name, change, seed=seed)
            shown = f"{name:>14}"
            if embedder is not None:
                result = evaluate_frechet(made, references, embedder, points=0, memory=memory)
                found.setdefault("frechet", {})[name] = result.distance
                shown += f"  FD {result.distance:12.4f}"
            if tagger is not None:
                divergence = evaluate_kl(made, references, tagger, memory=memory).divergence
                found.setdefault("kl", {})[name] = divergence
                shown += f"  KL {divergence:10.6f}"
            print(shown)
            shutil.rmtree(made)
    return found


def listener_for(role: Role[Listener], name: str) -> Listener | None:
    """Load a listener; None where it is none of this role."""
    return role.load(name) if name.partition(":")[0] in role.entries else None


def in_order(values: Sequence[float]) -> bool:
    """Say whether each value is above the one before."""
    return all(first < second for first, second in pairwise(values))


def main() -> None:
    """Print the distances of each set, and whether they are in order."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings")
    parser.add_argument("--listener", default="musicnn", help="as `evaluate` takes it")
    parser.add_argument(
        "--noise",
        type=float,
        default=-10.0,
        choices=NOISES,
        help="dB of the noisy ones in the order",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    parser.add_argument("--output", type=Path, help="JSON file")
    options = parser.parse_args()
    changes: dict[str, Spoil] = {
        "same": lambda audio, *_: audio,
        "low-passed": low_passed,
        **{f"noise {decibels:g} dB": noisy(decibels) for decibels in NOISES},
        "silent": silent,
    }
    try:
        found = measured(options.data, options.listener, changes, seed=options.seed)
    except ValueError as error:
        parser.error(str(error))
    order = ["same", "low-passed", f"noise {options.noise:g} dB", "silent"]
    kept = {metric: in_order([values[name] for name in order]) for metric, values in found.items()}
    for metric, right in kept.items():
        print(f"{metric}: {'in order' if right else 'NOT in order'} ({' < '.join(order)})")
    if options.output is not None:
        options.output.write_text(json.dumps({"found": found, "in order": kept}, indent=2) + "\n")
    raise SystemExit(not all(kept.values()))


if __name__ == "__main__":
    main()
