"""What all stages have: their options, a model to work on, and how they end."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from stable_audio_open.builders.random_model import random_model
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.pretrained import StableAudio

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "configs/stable_audio_open_1_0/diffusion.json"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a stage is told."""

    device: torch.device
    dry: bool
    """At tiny sizes, to see that it runs."""
    json: Path
    """File of what is found."""


Stage = Callable[[Options], tuple[dict[str, Any], list[str]]]
"""Returns what was found and what was wrong."""


def run(stage: Stage, arguments: Sequence[str] | None = None) -> int:
    """Run a stage from the command line; return 0, or 1 where something is wrong."""
    parser = argparse.ArgumentParser(description=sys.modules[stage.__module__].__doc__)
    parser.add_argument("--device", default="cuda", type=torch.device)
    parser.add_argument("--dry", action="store_true", help="at tiny sizes")
    parser.add_argument("--json", type=Path, required=True, metavar="FILE")
    options = Options(**vars(parser.parse_args(arguments)))
    # float32 means float32, but where a stage asks for less.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    found, faults = stage(options)
    options.json.write_text(json.dumps(found, indent=2) + "\n")
    for fault in faults:
        print(f"WRONG: {fault}")
    return 1 if faults else 0


def published_model(options: Options, *, depth: int | None = None) -> LatentDiffusion:
    """Return a model of the published size with random weights, on the CPU; dry, the bundled one.

    Args:
        options: The stage's.
        depth: Blocks of the transformer, all where None.
    """
    if options.dry:
        return bundled_model()
    overrides = [] if depth is None else [f"transformer.depth={depth}"]
    config = read_config(PUBLISHED, overrides, for_training=False)
    assert isinstance(config, DiffusionModelConfig)
    with torch.device("cpu"):
        return random_model(config)


def bundled_model() -> LatentDiffusion:
    """Return the bundled model, on the CPU in float32."""
    return StableAudio.from_pretrained("tiny", device="cpu", dtype="float32")


def synchronize(device: torch.device) -> None:
    """Wait for a CUDA device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
