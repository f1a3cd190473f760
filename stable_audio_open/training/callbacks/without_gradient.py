"""Whether everything that is to be trained has a gradient at all."""

import logging
from collections import Counter
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

logger = logging.getLogger(__name__)

STEPS = 10
"""Steps of each optimiser that are looked at.

Layers that start at zero keep gradients from others for a step or two."""
NAMED = 8
"""Parameters that are named at most."""


class ParametersWithoutGradient(pl.Callback):
    """Name the trained parameters that have had no gradient in the first steps of a run.

    A network that a compiler, a detached tensor or a term of weight 0 has cut off leaves a loss
    that looks busy while nothing is learnt. Where most parameters have had no gradient, the run
    stops. Counted anew whenever a run is started or resumed, for each optimiser apart.

    Args:
        steps: Steps of each optimiser that are looked at.
    """

    def __init__(self, *, steps: int = STEPS) -> None:
        self.steps = steps
        self._taken: Counter[int] = Counter()
        self._reached: set[int] = set()

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Look at the gradients, before a callback may take them away."""
        key = id(optimizer)
        if self._taken[key] == self.steps:
            return
        self._taken[key] += 1
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._reached |= _with_gradient([p for p in parameters if id(p) not in self._reached])
        if self._taken[key] == self.steps:
            missing = {id(p) for p in parameters} - self._reached
            names = [name for name, p in pl_module.named_parameters() if id(p) in missing]
            if names:
                _tell(names, of=len(parameters), steps=self.steps, step=trainer.global_step)


def _with_gradient(parameters: list[Any]) -> set[int]:
    """Return the identities of those whose gradient is not 0 everywhere."""
    known = [p for p in parameters if p.grad is not None]
    if not known:
        return set()
    norms = torch._foreach_norm([p.grad for p in known])
    whole: list[Tensor] = [n.full_tensor() if isinstance(n, DTensor) else n for n in norms]
    found = torch.stack([norm.float().to(whole[0].device) for norm in whole]) != 0
    return {id(p) for p, any_ in zip(known, found.tolist(), strict=True) if any_}


def _tell(names: list[str], *, of: int, steps: int, step: int) -> None:
    listed = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        listed += f" and {len(names) - NAMED} more"
    found = (
        f"{len(names)} of {of} trained parameters have had no gradient in the first {steps} steps"
    )
    if 2 * len(names) > of:
        raise FloatingPointError(
            f"training stopped at step {step}: {found}: {listed}; most of the model would stay as "
            "it is. Try training.trainer.compile=false, and look for terms of the loss that depend "
            "on nothing"
        )
    logger.warning("%s: %s", found, listed)
