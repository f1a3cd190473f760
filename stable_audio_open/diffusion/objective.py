"""The v-objective (paper section 4.2, reference [24]) and how a training batch is drawn."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.quasirandom import SobolEngine

from stable_audio_open.conditions import Conditioning


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
) -> NoisedLatents:
    """Return `x_t = alpha x + sigma eps` and `v = alpha eps - sigma x`."""
    alpha, sigma = alpha_sigma(t[:, None, None])
    return NoisedLatents(alpha * latents + sigma * noise, alpha * noise - sigma * latents)


def drop_conditions(conditioning: Conditioning, dropped: Bool[Tensor, "batch"]) -> Conditioning:
    """Zero all cross-attention tokens of the `dropped` items, for guidance; global stays."""
    kept = (~dropped).to(conditioning.cross.dtype)[:, None, None]
    return conditioning._replace(cross=conditioning.cross * kept)


class TimestepSampler:
    """Uniform timesteps in 0..1 from a scrambled Sobol sequence, evenly spread in every batch."""

    def __init__(self, *, seed: int) -> None:
        self.seed = seed
        self._engine = SobolEngine(1, scramble=True, seed=seed)

    def draw(self, count: int) -> Float[Tensor, "batch"]:
        """Return the next timesteps (on the CPU)."""
        return self._engine.draw(count)[:, 0]

    def state(self) -> int:
        """Return how many were drawn, for a checkpoint."""
        return int(self._engine.num_generated)

    def restore(self, drawn: int) -> None:
        """Go on after `drawn` timesteps."""
        self._engine.reset()
        if drawn:
            self._engine.fast_forward(drawn)
