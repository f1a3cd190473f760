"""Options of KL and of the Frechet distance, with a small random Cnn14."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import soundfile
import torch

from stable_audio_open.audio_models.panns.checkpoint import load_panns_clip
from stable_audio_open.audio_models.panns.clip import PannsEmbedder
from stable_audio_open.evaluation.frechet.distance import evaluate_frechet
from stable_audio_open.evaluation.kl import Definition, evaluate_kl

pytestmark = pytest.mark.numerical

Run = Callable[..., CompletedProcess[str]]

RATE = 8000
SECONDS = (20, 1, 1)  # the first is heard in two windows, which differ


@pytest.fixture
def sets(run: Run) -> tuple[Path, Path]:
    """Stereo noise, of another kind in each of two folders; below the current one."""
    generator = torch.Generator().manual_seed(0)
    for name in ("made", "reference"):
        Path(name).mkdir()
        for index, seconds in enumerate(SECONDS):
            noise = torch.randn(seconds * RATE, 2, generator=generator)
            if name == "made":
                half = len(noise) // 2
                noise[half:] = 0.1 * noise[half:].cumsum(dim=0)
            noise *= 0.5 / noise.abs().max() * torch.tensor([1.0, 0.3])
            soundfile.write(f"{name}/{index}.wav", noise.numpy(), RATE, subtype="FLOAT")
    return Path("made"), Path("reference")


@pytest.fixture
def network(random_panns: Path) -> Path:
    """Its probabilities are far from 0 and 1."""
    checkpoint = torch.load(random_panns)
    for part in ("weight", "bias"):
        checkpoint["model"][f"fc_audioset.{part}"] *= 0.1
    torch.save(checkpoint, random_panns)
    return random_panns


def written(run: Run, *arguments: object) -> dict[str, Any]:
    result = run("evaluate", *arguments, "--output", "result.json")
    assert (result.returncode, result.stderr) == (0, "")
    found: dict[str, Any] = json.loads(Path("result.json").read_text())
    return found


@pytest.mark.slow
def test_kl_by_the_definition_that_is_named(
    run: Run, sets: tuple[Path, Path], network: Path
) -> None:
    definitions = {
        "paper": Definition(forward=True, pooling="logits", epsilon=0.01),
        "reverse": Definition(forward=False, pooling="logits", epsilon=0.01),
        "windows": Definition(forward=True, pooling="windows", epsilon=0.01),
        "reverse-windows": Definition(forward=False, pooling="windows", epsilon=0.01),
    }
    command = ("kl", *sets, "--tagger", f"panns:{network}")
    tagger = load_panns_clip(network)
    found = []
    for name, definition in definitions.items():
        figures = written(run, *command, "--definition", name, "--epsilon", 0.01)
        wanted = evaluate_kl(*sets, tagger, definition=definition)
        assert figures["windows"] == 4
        assert figures["per_file"] == pytest.approx(wanted.per_file)
        found.append(figures["divergence"])
    assert min(b - a for a, b in pairwise(sorted(found))) > 1e-3
    plain = written(run, *command)
    wanted = evaluate_kl(*sets, tagger, definition=Definition(epsilon=1e-6))
    assert plain["per_file"] == pytest.approx(wanted.per_file)
    assert plain["definition"] == wanted.definition


def test_frechet_distance_of_both_sides_or_their_mean(
    run: Run, sets: tuple[Path, Path], network: Path
) -> None:
    command = ("frechet", *sets, "--embedder", f"panns:{network}")
    embedder = PannsEmbedder(load_panns_clip(network))
    stereo, mono = written(run, *command), written(run, *command, "--channels", "mono")
    assert (stereo["dimensions"], mono["dimensions"]) == (16, 8)
    for figures, wanted in (
        (stereo, evaluate_frechet(*sets, embedder)),
        (mono, evaluate_frechet(*sets, embedder, channels="mono")),
    ):
        assert figures["distance"] == pytest.approx(wanted.distance)
        assert figures["definition"] == wanted.definition
    assert stereo["distance"] != pytest.approx(mono["distance"])
