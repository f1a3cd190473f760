"""Runs of two steps on a CUDA device, resumed there: Lightning's part of the way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.jobs.train import run_training

pytestmark = pytest.mark.slow

Change = Callable[..., Any]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("kind", ["autoencoder_run", "adversarial_run", "diffusion_run"])
def test_two_steps_and_two_more(
    kind: str,
    precision: str,
    device: torch.device,
    change: Change,
    request: pytest.FixtureRequest,
) -> None:
    base: AutoencoderModelConfig | DiffusionModelConfig = request.getfixturevalue(kind)
    settings: dict[str, Any] = {
        "name": f"{kind}-{device.type}-{precision}",
        "accelerator": "cpu" if device.type == "cpu" else "gpu",
        "precision": precision,
        "gradient_clip": 1.0,
    }
    states = []
    for steps in (2, 4):
        last = run_training(change(base, max_steps=steps, **settings))
        assert Path(last).is_file()
        kept = torch.load(last, weights_only=True)
        assert kept["global_step"] == steps
        states.append({k: v.cpu() for k, v in kept["state_dict"].items() if k.startswith("model.")})
    assert all(value.isfinite().all() for value in states[1].values() if value.is_floating_point())
    assert any(not torch.equal(value, states[1][name]) for name, value in states[0].items())
