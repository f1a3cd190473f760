"""What a transformer learns to predict, and how a training batch is drawn.

The v-objective is the paper's (section 4.2, reference [24]); rectified flows (Liu et al. 2023) go
in straight lines from data to noise. `rf_denoiser` is a rectified flow that was trained on for few
steps.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.denoiser import Denoiser, FlowDenoiser, VDenoiser, Velocity
from stable_audio_open.diffusion.schedule import (
    LOG_SNR,
    flow_time_from_sigma,
    sigma_from_flow_time,
    sigma_from_time,
    time_from_sigma,
)
from stable_audio_open.settings import Objective

Timesteps = Literal["sobol", "uniform", "logit_normal", "log_snr"]
SOBOL_END = 1e-6
"""Distance that a logit-normal draw keeps from 0 and 1, where its normal deviate is infinite."""


class Process(NamedTuple):
    """How an objective's time belongs to noise levels, and its velocity to clean latents."""

    time: Callable[[float], float]
    """Noise level to the model's time."""
    sigma: Callable[[float], float]
    """The model's time to the noise level."""
    denoiser: Callable[[Velocity], Denoiser]
    """Velocity to denoiser."""
    interval: Callable[[float], float]
    """A bound of guidance's interval to the model's time: the bound is a noise level of v-models,
    and the time itself of flows."""


_COSINE = Process(time_from_sigma, sigma_from_time, VDenoiser, time_from_sigma)
_FLOW = Process(flow_time_from_sigma, sigma_from_flow_time, FlowDenoiser, float)


def process(objective: Objective) -> Process:
    """The process of an objective: the paper's cosine one, or the straight one of flows."""
    return _COSINE if objective == "v" else _FLOW


class NoisedLatents(NamedTuple):
    """The transformer's input and target."""

    x: Float[Tensor, "batch latent_channels frames"]
    velocity: Float[Tensor, "batch latent_channels frames"]


def alpha_sigma(t: Float[Tensor, "*batch"]) -> tuple[Tensor, Tensor]:
    """Return `cos(pi t / 2)` and `sin(pi t / 2)`: the amounts of signal and noise."""
    angle = t * (torch.pi / 2)
    return angle.cos(), angle.sin()


def noise_latents(
    latents: Float[Tensor, "batch latent_channels frames"],
    noise: Float[Tensor, "batch latent_channels frames"],
    t: Float[Tensor, "batch"],
    objective: Objective = "v",
) -> NoisedLatents:
    """Return a training example's input and target.

    `x_t = alpha x + sigma eps` and `v = alpha eps - sigma x` of the v-objective; of flows,
    `x_t = (1 - t) x + t eps` and `v = eps - x`.
    """
    if objective != "v":
        t = t[:, None, None]
        return NoisedLatents((1 - t) * latents + t * noise, noise - latents)
    alpha, sigma = alpha_sigma(t[:, None, None])
    return NoisedLatents(alpha * latents + sigma * noise, alpha * noise - sigma * latents)


def drop_conditions(conditioning: Conditioning, dropped: Bool[Tensor, "batch"]) -> Conditioning:
    """Zero all cross-attention tokens of the `dropped` items, for guidance; global stays."""
    kept = (~dropped).to(conditioning.cross.dtype)[:, None, None]
    return conditioning._replace(cross=conditioning.cross * kept)


class TimestepSampler:
    """Timesteps in 0..1.

    Args:
        seed: Seed of the sequence.
        distribution: `sobol` is uniform, from a scrambled Sobol sequence, evenly spread in every
            batch; `uniform` draws each for itself; `logit_normal` is the sigmoid of a standard
            normal (Esser et al. 2024), whose quantiles are those of the Sobol sequence; `log_snr`
            is even in log SNR, between the ends of the grid by which flows are generated.

    Raises:
        ValueError: When the distribution is unknown.
    """

    def __init__(self, *, seed: int, distribution: str = "sobol") -> None:
        if distribution not in get_args(Timesteps):
            raise ValueError(
                f"unknown distribution of timesteps {distribution!r}; choose from "
                f"{list(get_args(Timesteps))}"
            )
        self.seed = seed
        self.distribution = distribution
        self._engine = SobolEngine(1, scramble=True, seed=seed)

    def draw(self, count: int) -> Float[Tensor, "batch"]:
        """Return the next timesteps (on the CPU)."""
        drawn = self.state()
        even = self._engine.draw(count)[:, 0]
        if self.distribution == "uniform":
            # Counter and key decide the numbers, so that a run goes on anywhere without a state.
            random = np.random.Generator(np.random.Philox(key=self.seed, counter=drawn))
            return torch.from_numpy(random.random(count, dtype=np.float32))
        if self.distribution == "logit_normal":
            inner = even.double().clamp(SOBOL_END, 1 - SOBOL_END)
            normal: Tensor = torch.special.ndtri(inner)
            return normal.sigmoid().to(even.dtype)
        if self.distribution == "log_snr":
            low, high = LOG_SNR
            return torch.sigmoid(-low - (high - low) * even)
        return even

    def state(self) -> int:
        """Return how many were drawn, for a checkpoint."""
        return int(self._engine.num_generated)

    def restore(self, drawn: int) -> None:
        """Go on after `drawn` timesteps."""
        self._engine.reset()
        if drawn:
            self._engine.fast_forward(drawn)
