"""AdamW and the paper's learning rate schedule."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from stable_audio_open.training.parallel.offloading import OffloadedAdamW

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """AdamW with an exponential ramp-up and inverse decay of the learning rate (section 4).

    The learning rate at step n is `lr (1 - warmup^(n+1)) (1 + n / inv_gamma)^(-power)`.
    """

    lr: float
    betas: tuple[float, float]
    weight_decay: float
    inv_gamma: float
    power: float
    warmup: float
    offload: bool = False
    """Running means and the step itself on the CPU."""

    def factor(self, step: int) -> float:
        """Return the learning rate at a step (from 0), in units of `lr`."""
        ramp = 1 - self.warmup ** (step + 1)
        return float(ramp * (1 + step / self.inv_gamma) ** -self.power)

    def configure(self, parameters: Iterable[nn.Parameter]) -> tuple[AdamW, LambdaLR]:
        """Return the optimiser and its schedule, to be stepped together."""
        kind = OffloadedAdamW if self.offload else AdamW
        optimizer = kind(
            list(parameters), lr=self.lr, betas=self.betas, weight_decay=self.weight_decay
        )
        # A plain function leaves nothing of itself in the checkpoint.
        return optimizer, LambdaLR(optimizer, lambda step: self.factor(step))

    def apply(self, optimizer: Optimizer, schedule: LambdaLR, *, field: str) -> None:
        """Let these settings take effect in what was restored from a checkpoint.

        Restoring brings the settings back too that the checkpoint was written with; what is another
        now is told. Running means and the number of steps stay.

        Args:
            optimizer: As `configure` made it, with a state.
            schedule: Its schedule.
            field: Place of the settings in the configuration, such as `training.optimizer`.
        """
        [group] = optimizer.param_groups
        own = {"lr": self.lr, "betas": self.betas, "weight_decay": self.weight_decay}
        found = {**group, "lr": group["initial_lr"], "betas": tuple(group["betas"])}
        changed = [
            f"{name} {value} (before: {found[name]})"
            for name, value in own.items()
            if value != found[name]
        ]
        if changed:
            logger.info("%s has changed: %s", field, ", ".join(changed))
        # What it was made with: the kind of arithmetic too, which is another where it is offloaded.
        lr = self.lr * self.factor(schedule.last_epoch)
        group.update({**optimizer.defaults, "initial_lr": self.lr, "lr": lr})
        schedule.base_lrs, schedule._last_lr = [self.lr], [lr]
