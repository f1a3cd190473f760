"""AdamW and the paper's learning rate schedule."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR

from stable_audio_open.training.parallel.offloading import OffloadedAdamW


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
