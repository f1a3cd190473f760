"""A training step of every shipped configuration on a CUDA device, against the CPU in float32."""

import warnings
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.builders.model import TextEncoder
from stable_audio_open.conditioning.text import TextConditioner
from stable_audio_open.config.read import read_config
from stable_audio_open.data.datamodule import AudioDataModule
from tests.on_device import distance, let_wait, refusing_to_wait
from tests.shipped_configs import ROOT, SHIPPED, overrides
from tests.shipped_losses import loaded, losses, task_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("types_unchecked", "silent"),
    pytest.mark.filterwarnings("ignore:Synchronization debug mode is a prototype"),
]

CLOSE = {"32-true": 2e-3, "bf16-mixed": 0.1}
"""Relative distances of a loss from the CPU's in float32."""


@pytest.fixture
def silent() -> Iterator[None]:
    """Without a trainer nothing is logged."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are trying to `self.log")
        yield


def given(name: str, text_encoder: TextEncoder, device: torch.device) -> tuple[Any, dict[str, Any]]:
    """A training on a device, and a batch as it comes there."""
    config = read_config(ROOT / "configs" / f"{name}.json", overrides(name))
    loader = AudioDataModule([], batch_size=2)  # type: ignore[arg-type]  # nothing is loaded
    batch = loader.transfer_batch_to_device(loaded(config), device, 0)
    return task_of(config, text_encoder).to(device), batch


def computed(
    task: Any, batch: dict[str, Any], device: torch.device, precision: str
) -> dict[str, Tensor]:
    mixed = precision == "bf16-mixed"
    with torch.autocast(device.type, torch.bfloat16) if mixed else nullcontext():
        return losses(task, batch)


@pytest.mark.parametrize("precision", CLOSE)
@pytest.mark.parametrize("name", SHIPPED)
def test_losses_are_those_of_the_cpu(
    name: str, precision: str, device: torch.device, tiny_text_encoder: TextEncoder
) -> None:
    cpu = torch.device("cpu")
    reference, batch = given(name, tiny_text_encoder, cpu)
    wanted = computed(reference.eval(), batch, cpu, "32-true")
    task, batch = given(name, tiny_text_encoder, device)
    found = computed(task.eval(), batch, device, precision)
    for side, loss in found.items():
        assert loss.device.type == device.type
        assert distance(loss, wanted[side]) < CLOSE[precision], side


@pytest.mark.parametrize("precision", CLOSE)
@pytest.mark.parametrize("name", SHIPPED)
def test_a_step_moves_weights_and_waits_for_nothing(
    name: str, precision: str, device: torch.device, tiny_text_encoder: TextEncoder
) -> None:
    task, batch = given(name, tiny_text_encoder, device)
    task.train()
    computed(task, batch, device, precision)  # what is done once, of libraries and of our own
    for part in task.modules():
        if isinstance(part, TextConditioner):  # transformers asks whether there is any padding
            let_wait(part.encoder, device)
    with refusing_to_wait(device):
        found = computed(task, batch, device, precision)
        for loss in found.values():
            loss.backward()
    made = task.configure_optimizers()
    optimizers = [made["optimizer"]] if isinstance(made, dict) else made[0]
    for optimizer in optimizers:
        trained = [p for group in optimizer.param_groups for p in group["params"]]
        gradients = [p.grad for p in trained if p.grad is not None]
        assert all(g.device.type == device.type and bool(g.isfinite().all()) for g in gradients)
        before = [p.detach().clone() for p in trained]
        optimizer.step()
        moved = [not torch.equal(p, old) for p, old in zip(trained, before, strict=True)]
        assert any(moved)  # not adapters' first half, whose second one is 0
