"""What happens when a loss or a gradient is not finite."""

import logging
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

logger = logging.getLogger(__name__)


class SkipNonFinite(pl.Callback):
    """Leave out steps whose gradient is not finite, and stop when there are too many in a row.

    The gradient is what counts: a loss that is not finite has none that is, and gradients are
    averaged over the processes, so that all of them leave out the same steps. Weights and
    optimiser stay as they were. Logs `train/gradient_norm` and `train/skipped_steps`.

    Args:
        most_in_row: Steps in a row that may be left out.
    """

    def __init__(self, *, most_in_row: int) -> None:
        self.most_in_row = most_in_row
        self.skipped = 0
        """Steps left out so far."""
        self.in_row = 0
        self._files: list[str] = []

    @property
    def state_key(self) -> str:
        """Name of the counts in checkpoints, which was the class's once."""
        return "SkipNotFinite"

    def state_dict(self) -> dict[str, int]:
        """Return the counts, for the checkpoint."""
        return {"skipped": self.skipped, "in_row": self.in_row}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Take the counts from a checkpoint."""
        self.skipped, self.in_row = state_dict["skipped"], state_dict["in_row"]

    def on_train_batch_start(
        self, _trainer: pl.Trainer, _module: pl.LightningModule, batch: Any, *_: Any
    ) -> None:
        """Remember which recordings the batch is from."""
        self._files = list(dict.fromkeys(batch["file"]))

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: Optimizer
    ) -> None:
        """Look at the gradient, before the step.

        Raises:
            FloatingPointError: Too many in a row were not finite.
        """
        norm = gradient_norm(optimizer)
        finite = trainer.strategy.reduce_boolean_decision(bool(norm.isfinite()), all=True)
        if finite:
            self.in_row = 0
            pl_module.log("train/gradient_norm", norm)
            pl_module.log("train/skipped_steps", float(self.skipped))
            return
        optimizer.zero_grad(set_to_none=True)  # AdamW passes over weights without a gradient
        self.skipped += 1
        self.in_row += 1
        logger.warning(
            "step %d left out: its loss or gradient is not finite (%d in a row, %d in all); "
            "recordings of the batch: %s",
            trainer.global_step,
            self.in_row,
            self.skipped,
            ", ".join(self._files),
        )
        if self.in_row >= self.most_in_row:
            raise FloatingPointError(
                f"training stopped at step {trainer.global_step}: the last {self.in_row} steps "
                "had a loss or gradient that is not finite; the last checkpoint is from before. "
                "Lower the learning rate, set training.trainer.gradient_clip, or look at the "
                f"recordings: {', '.join(self._files)}"
            )


def gradient_norm(optimizer: Optimizer) -> Tensor:
    """Return the norm of all gradients that an optimiser would follow.

    Where they are split over processes, it is that of the whole ones, and all must call it.
    """
    gradients = [
        parameter.grad
        for group in optimizer.param_groups
        for parameter in group["params"]
        if parameter.grad is not None
    ]
    if not gradients:
        return torch.zeros(())
    norms = torch._foreach_norm(gradients)
    norm: Tensor = torch.linalg.vector_norm(torch.stack([n.to(norms[0].device) for n in norms]))
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
