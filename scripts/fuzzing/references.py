"""Mutated statistics of reference sets, as the authors of the paper's metrics publish them."""

import io
import math
import pickle
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch

from fuzzing.child import UNTOUCHED, Case, SilentLoadError
from fuzzing.damage import damage
from fuzzing.pickles import CANARY, hostile
from stable_audio_open.evaluation.frechet.published import COVARIANCE, MEAN, read_published
from stable_audio_open.evaluation.probabilities import read_probabilities

PROBABILITIES, STATISTICS = "probabilities.pkl", "statistics.npz"
CLASSES = 5
WRONG: tuple[Any, ...] = (
    *(None, "x", {}, [], [["x"]], 1 + 2j, np.array(["a"]), np.array([None] * CLASSES)),
    *(np.full(CLASSES, math.nan), np.full(CLASSES, 1.0), np.full((2, CLASSES), 0.2)),
    *(torch.full((CLASSES + 1,), 1 / (CLASSES + 1)), torch.full((CLASSES,), -0.2)),
)
"""What stands for no distribution over the classes."""


def draw_reference(random: Random, folder: Path) -> Case:
    """Write one that is mutated."""
    if random.random() < 0.5:
        return _draw_statistics(random, folder)
    path = folder / PROBABILITIES
    if random.random() < 0.4:
        content, words = hostile(folder.parent / CANARY, random)
        path.write_bytes(content)
        return Case(words=f"probabilities: {words}", target=distributions, answer="refused")
    kind = random.choice(("numpy", "torch"))
    found: dict[Any, Any] = {}
    for number in range(3):
        one = np.random.default_rng(number).dirichlet([1.0] * CLASSES)
        found[str(number)] = one if kind == "numpy" else torch.from_numpy(one)
    words, is_wrong = f"probabilities of {kind}: ", random.random() < 0.3
    if is_wrong:
        found[random.choice(("1", "9"))] = value = random.choice(WRONG)
        words += f"one is {' '.join(str(value).split())[:60]}"
    content = pickle.dumps(found, protocol=random.choice((2, 4)))
    untouched = not is_wrong and random.random() < UNTOUCHED
    if not is_wrong and not untouched:
        damaged = damage(content, random)
        content, is_wrong = damaged.content, damaged.is_cut
        words += damaged.words
    path.write_bytes(content)
    answer: Any = "read" if untouched else "refused" if is_wrong else None
    return Case(words=words, target=distributions, answer=answer)


def _draw_statistics(random: Random, folder: Path) -> Case:
    vectors = np.random.default_rng(0).standard_normal((50, 4))
    arrays = {MEAN: vectors.mean(axis=0), COVARIANCE: np.cov(vectors.T)}
    words, is_wrong, file = "statistics: ", random.random() < 0.5, io.BytesIO()
    if is_wrong:
        name = random.choice(sorted(arrays))
        words += f"{name} is {_spoil(arrays, name, random)}"
    np.savez(file, **arrays)
    content = file.getvalue()
    if not is_wrong:
        damaged = damage(content, random)
        content, is_wrong = damaged.content, damaged.is_cut
        words += damaged.words
    (folder / STATISTICS).write_bytes(content)
    return Case(words=words, target=gaussian, answer="refused" if is_wrong else None)


def _spoil(arrays: dict[str, Any], name: str, random: Random) -> str:
    what = random.choice(("left out", "of integers", "of objects", "not finite", "cut", "complex"))
    match what:
        case "left out":
            del arrays[name]
        case "of integers":
            arrays[name] = arrays[name].astype(np.int64)
        case "of objects":
            arrays[name] = arrays[name].astype(object)
        case "not finite":
            arrays[name].flat[0] = random.choice((math.nan, math.inf))
        case "cut":
            arrays[name] = arrays[name][:-1]
        case _:
            arrays[name] = arrays[name] + 1j
    return what


def distributions(folder: Path) -> None:
    """Read probabilities, and check that they are some."""
    for name, values in read_probabilities(folder / PROBABILITIES).items():
        if not torch.isfinite(values).all() or values.ndim != 1 or abs(values.sum() - 1) > 0.01:
            raise SilentLoadError(f"what it holds for {name!r} is no distribution")


def gaussian(folder: Path) -> None:
    """Read mean and covariance, and check that they are numbers."""
    found = read_published(folder / STATISTICS)
    if not torch.isfinite(found.mean).all() or not torch.isfinite(found.covariance).all():
        raise SilentLoadError("mean or covariance is not finite")
