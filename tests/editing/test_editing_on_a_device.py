"""Editing on a CUDA device gives what the CPU does, but for rounding."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.editing.inpainting import extend, inpaint
from stable_audio_open.editing.interpolation import interpolate
from stable_audio_open.editing.long import generate_long
from stable_audio_open.editing.loops import generate_loop
from stable_audio_open.editing.stream import stream
from stable_audio_open.latent_diffusion import LatentDiffusion
from tests.conftest import SAMPLE_RATE
from tests.on_device import EXACT, distance, on

ASKED: dict[str, Any] = {"steps": 4, "seed": 1, "progress": False, "guidance_scale": 3.0}
CHANGING = [(0.0, "kick"), (1.5, "bell")]


def noise() -> Audio:
    random = torch.Generator().manual_seed(0)
    return Audio(0.3 * torch.randn(1, 2, SAMPLE_RATE // 2, generator=random), SAMPLE_RATE)


EDITS: dict[str, Callable[[LatentDiffusion], Audio]] = {
    "inpaint": lambda model: inpaint(model, noise(), "kick", spans=[(0.1, 0.2)], **ASKED),
    "extend": lambda model: extend(model, noise(), "kick", seconds=0.2, **ASKED),
    "long": lambda model: generate_long(model, CHANGING, duration=2.5, **ASKED),
    "loop": lambda model: generate_loop(model, "kick", duration=0.4, **ASKED),
    "interpolate": lambda model: interpolate(
        model, ("kick", "bell"), count=3, duration=0.3, sampler="dpmpp-3m-sde", **ASKED
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edits(
    random_model: LatentDiffusion, device: torch.device, edit: Callable[[LatentDiffusion], Audio]
) -> None:
    wanted, found = edit(random_model), edit(on(device, random_model))
    assert found.samples.device.type == "cpu"
    assert distance(found.samples, wanted.samples) < 10 * EXACT


def test_pieces(random_model: LatentDiffusion, device: torch.device) -> None:
    def pieces(model: LatentDiffusion) -> torch.Tensor:
        made = stream(model, "kick", duration=0.4, first=20, core=60, **ASKED)
        return torch.cat([piece.samples for piece in made], dim=-1)

    assert distance(pieces(on(device, random_model)), pieces(random_model)) < EXACT
