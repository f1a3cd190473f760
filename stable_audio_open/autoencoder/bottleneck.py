"""The variational bottleneck (section 2.1)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

MINIMUM_STD = 1e-4


class Posterior(NamedTuple):
    """A diagonal Gaussian over the latents."""

    mean: Float[Tensor, "batch latent_channels frames"]
    std: Float[Tensor, "batch latent_channels frames"]

    @classmethod
    def from_parameters(cls, parameters: Float[Tensor, "batch twice frames"]) -> "Posterior":
        """Split the encoder's output: means first, then scales; std = softplus(scale) + 1e-4."""
        mean, scale = parameters.chunk(2, dim=1)
        return cls(mean, F.softplus(scale) + MINIMUM_STD)

    def sample(
        self, generator: torch.Generator | None = None
    ) -> Float[Tensor, "batch latent_channels frames"]:
        """Draw `mean + std * noise`; a generator draws on its own device."""
        device = generator.device if generator is not None else self.mean.device
        noise = torch.randn(
            self.mean.shape, generator=generator, device=device, dtype=self.mean.dtype
        )
        return self.at(noise.to(self.mean.device))

    def at(
        self, noise: Float[Tensor, "batch latent_channels frames"]
    ) -> Float[Tensor, "batch latent_channels frames"]:
        """Return `mean + std * noise`."""
        return self.mean + self.std * noise

    def kl(self) -> Float[Tensor, ""]:
        """Divergence from the standard normal: summed over channels, averaged over the rest.

        `mean^2 + var - log var - 1` without the usual factor 1/2, as the published model was
        trained.
        """
        variance = self.std**2
        per_channel = self.mean**2 + variance - variance.log() - 1
        return per_channel.sum(dim=1).mean()
