"""Resampling (Lugmayr et al. 2022, "RePaint", section 4.2): pieces of a run, several times.

What is generated beside something that is kept is made to fit it: after a piece of the levels,
noise takes the state back to where the piece began, and it is gone through once more.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import check_integer
from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.samplers.noise import Noise, add_noise, required
from stable_audio_open.diffusion.samplers.sampler import Callback, Sampler, step_pairs

MOST_TIMES = 100
"""Runs through each piece at most."""


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How often the pieces of a run are gone through.

    Raises:
        ValueError: When a number is out of its range.
    """

    times: int = 1
    """Runs through each piece; 1 is the sampler as it is."""
    piece: int = 10
    """Steps of a piece (the paper's jump length)."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, value in (("resampling", self.times), ("steps of a piece", self.piece)):
            if check_integer(value, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.times > MOST_TIMES:
            raise ValueError(f"resampling must be at most {MOST_TIMES}, got {self.times}")

    def pieces(self, sigmas: Sequence[float]) -> list[Sequence[float]]:
        """Return the levels of each piece in the order of work, with its repetitions.

        Where the noise is infinite, x says nothing of the sound yet, and one time is enough.
        """
        if self.times == 1:
            return [sigmas]
        last = len(sigmas) - 1
        starts = range(0, last, self.piece)
        cuts = [sigmas[start : min(start + self.piece, last) + 1] for start in starts]
        return [cut for cut in cuts for _ in range(self.times if cut[0] < math.inf else 1)]

    def steps(self, sigmas: Sequence[float]) -> int:
        """Return the steps of a run with all repetitions."""
        return sum(len(piece) - 1 for piece in self.pieces(sigmas))


def resampled(sampler: Sampler, resampling: Resampling) -> Sampler:
    """Return a sampler that goes through each piece of the levels several times.

    Between two times the state at sigma' goes back to sigma by noise of the variance
    sigma^2 - sigma'^2; a multistep solver begins each piece without a history. Its keywords are
    those of every sampler.
    """
    if resampling.times == 1:
        return sampler

    def sample(
        denoiser: Denoiser,
        x: Float[Tensor, "batch channels time"],
        sigmas: Sequence[float],
        *,
        noise: Noise | None = None,
        callback: Callback | None = None,
    ) -> Float[Tensor, "batch channels time"]:
        assert step_pairs(sigmas)
        steps, done = resampling.steps(sigmas), 0
        level = sigmas[0]
        for piece in resampling.pieces(sigmas):
            if level < piece[0]:
                amount = math.sqrt(piece[0] ** 2 - level**2)
                x = add_noise(x, required(noise, "resampling"), level, piece[0], amount=amount)

            def report(step: int, _: int, x0: Tensor, done: int = done) -> None:
                if callback is not None:
                    callback(done + step, steps, x0)

            x = sampler(denoiser, x, piece, noise=noise, callback=report)
            done += len(piece) - 1
            level = piece[-1]
        return x

    return sample
