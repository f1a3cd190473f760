"""What a side of the comparison is asked for."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

Call = Callable[[], Tensor]

PROMPT = "a deep kick drum in a large hall with soft warm bass"
GUIDANCE_SCALE = 7.0
# Exact in bfloat16, into which diffusers rounds it.
TIME = 0.75
SIGMA_MIN, SIGMA_MAX = 0.3, 500.0
LEARNING_RATE = 1e-4
CLIP = 1.0


@dataclass(frozen=True)
class Job:
    """What all cases of a side share."""

    folder: Path
    """With the model in every layout, as `benchmarking.shared` writes it."""
    device: torch.device
    dtype: torch.dtype
    steps: int
    """Of a whole generation."""
    seed: int

    @property
    def config(self) -> dict[str, Any]:
        """The published layout's configuration."""
        path = self.folder / "stable_audio_tools" / "model_config.json"
        config: dict[str, Any] = json.loads(path.read_text())
        return config

    @property
    def seconds(self) -> float:
        """Duration of the window."""
        seconds: float = self.config["sample_size"] / self.config["sample_rate"]
        return seconds


class Side(Protocol):
    """One implementation; a case that it does not have is None."""

    packages: tuple[str, ...]
    """Whose versions are told."""

    def __init__(self, job: Job) -> None: ...

    def load(self) -> None:
        """Load the whole model, ready for use on the device; what was loaded before is dropped."""

    def drop(self) -> None:
        """Let go of what was loaded."""

    def case(
        self, name: str, inputs: dict[str, Tensor], *, mixed: torch.dtype | None
    ) -> Call | None:
        """Return a call of the case, which returns what is compared.

        Args:
            name: `text`, `step`, `clip`, `decode`, `encode`, `train-transformer` or
                `train-autoencoder`.
            inputs: In float32, on the device.
            mixed: Half precision of training, whose weights are in float32; none when None.
        """


def training_step(
    loss: Callable[[], Tensor],
    trained: nn.Module,
    *,
    device: torch.device,
    mixed: torch.dtype | None,
    **optimizer: Any,
) -> Call:
    """Return a step of training: forward, backward, clipping, AdamW.

    The step returns loss and norm of the gradient.

    Args:
        loss: Computes the loss.
        trained: Whose weights are moved.
        device: Where they are.
        mixed: Type of mixed precision; none when None.
        optimizer: Arguments of AdamW beside the learning rate.
    """
    parameters = [each for each in trained.parameters() if each.requires_grad]
    adamw = torch.optim.AdamW(parameters, lr=LEARNING_RATE, **optimizer)

    def step() -> Tensor:
        with torch.autocast(device.type, mixed, enabled=mixed is not None):
            value = loss()
        value.backward()
        norm = nn.utils.clip_grad_norm_(parameters, CLIP)
        adamw.step()
        adamw.zero_grad(set_to_none=True)
        return torch.stack([value.detach().float(), norm.detach().float()])

    return step


def trainable(module: nn.Module) -> nn.Module:
    """Prepare a module for training."""
    return module.train().requires_grad_(True)
