"""Where a rectified flow leads from the middle of its way, each item from a time of its own."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.schedule import LOG_SNR
from stable_audio_open.nn.device import widened


def flow_endpoint(
    velocity: Callable[[Tensor, Tensor], Tensor],
    x: Float[Tensor, "batch channels frames"],
    t: Float[Tensor, "batch"],
    *,
    steps: int,
) -> Float[Tensor, "batch channels frames"]:
    """Follow dx/dt = v(x, t) from each item's time down to 0, by Euler's method.

    The times lie as in generation: log SNR rises linearly to that of the published grid's end, and
    at least by 1; the last time is 0 instead.

    Args:
        velocity: (x, t) -> v, for t of shape `[batch]`.
        x: States of the flow at `t`.
        t: Times in 0..1, above 0.
        steps: Number of steps.
    """
    # Near 1 the log SNR has no bound: there it begins where that of the published grid does.
    first = torch.logit(widened(t)).clamp(max=-LOG_SNR[0])
    last = (first - 1).clamp(max=-LOG_SNR[1])
    times = [t, *(_between(first, last, step / steps).to(t) for step in range(1, steps))]
    for now, later in zip(times, [*times[1:], torch.zeros_like(t)], strict=True):
        x = x + (later - now)[:, None, None] * velocity(x, now)
    return x


def _between(first: Tensor, last: Tensor, share: float) -> Tensor:
    return torch.sigmoid(first + share * (last - first))
