"""Keep a part of the latents while the rest is generated."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.diffusion.denoiser import Denoiser, noised


@dataclass(frozen=True, kw_only=True)
class KeptDenoiser:
    """A denoiser whose answer is known where latents are kept, itself a denoiser.

    x0 becomes m z + (1 - m) x0. The answer is projected and not the state x, whose change between
    steps would break the history of a multistep solver.
    """

    denoiser: Denoiser
    """(x, sigma) -> x0, guidance included."""
    latents: Float[Tensor, "#batch channels time"]
    """The clean latents z."""
    kept: Float[Tensor, "#batch 1 time"]
    """The mask m, 0..1: 1 where latents are kept."""
    released: Float[Tensor, "#batch 1 time"] | None = None
    """The mask at and below the noise level `release`; the same as `kept` when None."""
    release: float = 0.0
    """Noise level sigma."""

    def __call__(
        self, x: Float[Tensor, "batch channels time"], sigma: float
    ) -> Float[Tensor, "batch channels time"]:
        """The expected clean latents, given x = x0 + sigma * noise."""
        return self.project(self.denoiser(x, sigma), sigma)

    def project(
        self, x0: Float[Tensor, "batch channels time"], sigma: float = 0.0
    ) -> Float[Tensor, "batch channels time"]:
        """Put what is kept into clean latents; into a sampler's too, where its last step errs."""
        kept = self.kept
        if self.released is not None and sigma <= self.release:
            kept = self.released
        return kept * self.latents + (1 - kept) * x0

    def start(
        self, noise: Float[Tensor, "batch channels time"], sigma: float
    ) -> Float[Tensor, "batch channels time"]:
        """Return the state m z + sigma * noise, at which sampling begins."""
        return noised((self.kept * self.latents).expand_as(noise), noise, sigma)
