"""AdamW whose running means stay in CPU memory."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.adamw import adamw


class OffloadedAdamW(AdamW):
    """AdamW that keeps 8 bytes per float32 parameter off the GPU, and takes its steps on the CPU.

    Parameter by parameter, weight and gradient are copied to the CPU and the new weight back. The
    arithmetic is `torch.optim.AdamW`'s without its `foreach` and `fused` variants: bitwise the
    same for parameters on the CPU. So is the state that it saves, and either loads the other's.

    Args:
        parameters: What is trained, on any device.
        lr: Learning rate.
        betas: Decay of the running means of gradients and of their squares.
        weight_decay: Decoupled decay, in units of the learning rate.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        *,
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
    ) -> None:
        super().__init__(parameters, lr=lr, betas=betas, weight_decay=weight_decay, foreach=False)
        # Not in `self.state`, which trainers move to the parameters' device.
        self._means: dict[Tensor, dict[str, Tensor]] = {}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step; parameters without a gradient stay.

        Args:
            closure: Computes loss and gradients first, and its loss is returned.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step_one(parameter, group)
        return loss

    def _step_one(self, parameter: Tensor, group: Mapping[str, Any]) -> None:
        assert parameter.grad is not None
        weight = parameter.detach().to("cpu")
        if parameter not in self._means:
            self._means[parameter] = {
                "step": torch.tensor(0.0),
                "exp_avg": torch.zeros_like(weight),
                "exp_avg_sq": torch.zeros_like(weight),
            }
        means = self._means[parameter]
        beta1, beta2 = group["betas"]
        adamw(
            [weight],
            [parameter.grad.to("cpu")],
            [means["exp_avg"]],
            [means["exp_avg_sq"]],
            [],
            [means["step"]],
            foreach=False,
            amsgrad=False,
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
        )
        if parameter.device.type != "cpu":
            parameter.copy_(weight)

    def state_dict(self) -> dict[str, Any]:
        """Return the state in `torch.optim.AdamW`'s layout, on the CPU."""
        state = super().state_dict()
        means = (self._means.get(parameter) for parameter in self._parameters())
        return state | {"state": {i: dict(mean) for i, mean in enumerate(means) if mean}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of this class or of `torch.optim.AdamW`; it stays on the CPU.

        Raises:
            ValueError: When it is of other parameters.
        """
        super().load_state_dict(state_dict | {"state": {}})
        for group in self.param_groups:  # AdamW's own may have been saved with other variants
            group.update(foreach=False, fused=None)
        self._means = {
            parameter: {name: value.to("cpu") for name, value in state_dict["state"][i].items()}
            for i, parameter in enumerate(self._parameters())
            if i in state_dict["state"]
        }

    def _parameters(self) -> list[Tensor]:
        return [parameter for group in self.param_groups for parameter in group["params"]]
