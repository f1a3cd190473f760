"""Training of a generator and a discriminator, each with an optimiser of its own."""

from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from torch.optim import Optimizer

from stable_audio_open.training.optimisation import OptimizerSettings

GENERATOR, DISCRIMINATOR = 0, 1
"""The optimisers, in their order."""


class TwoSides(pl.LightningModule):
    """What such trainings have in common, beside the training of the generator alone.

    A class names this one before that one, and sets what stands below.
    """

    optimisation: OptimizerSettings
    """AdamW and schedule of the generator."""
    discriminator_optimisation: OptimizerSettings
    """Those of the discriminator."""
    gradient_clip: float | None
    """Largest norm of each side's gradient, or None."""
    model: Any
    """What is trained of it is the generator."""
    discriminator: Any

    def configure_optimizers(self) -> Any:
        """Return the optimisers and schedules of both sides."""
        sides = (
            self.optimisation.configure(p for p in self.model.parameters() if p.requires_grad),
            self.discriminator_optimisation.configure(self.discriminator.parameters()),
        )
        return [optimizer for optimizer, _ in sides], [schedule for _, schedule in sides]

    def optimisers(self) -> dict[str, OptimizerSettings]:
        """Return the settings of both sides."""
        return {
            "training.optimizer": self.optimisation,
            "training.adversarial.optimizer": self.discriminator_optimisation,
        }

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Limit the gradient's norm; callbacks have seen it as it was."""
        if self.gradient_clip is not None:
            self.clip_gradients(optimizer, gradient_clip_val=self.gradient_clip)

    def follow(self, side: int, loss: Tensor) -> None:
        """Take a step of one side along the gradient of a loss."""
        optimizer: Any = self.optimizers()[side]  # type: ignore[index]  # there are two
        schedule: Any = self.lr_schedulers()[side]  # type: ignore[index]
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()
        schedule.step()
