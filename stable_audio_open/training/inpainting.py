"""Which latents are kept where a model learns to inpaint."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor


@dataclass(frozen=True, kw_only=True)
class InpaintingMasks:
    """How masks are drawn: everything, random segments, or all behind a prefix is generated."""

    whole: float
    """Share of items of which everything is generated, as of text to audio."""
    segments: float
    """Share of items of which random segments are generated; of the rest, all behind a prefix."""
    most_segments: int
    """One to so many; each has at most the sound's frames divided by their number."""

    def draw(
        self, generators: Sequence[Generator], lengths: Sequence[float], frames: int
    ) -> Float[Tensor, "batch 1 frames"]:
        """Return masks that are 1 where latents are kept.

        Args:
            generators: One per item.
            lengths: Frames of each item that are its sound; what is behind is silence.
            frames: Latent frames of the window.
        """
        drawn = zip(generators, lengths, strict=True)
        return torch.stack(
            [
                self._one(random, int(min(max(length, 1), frames)), frames)
                for random, length in drawn
            ]
        )

    def _one(self, random: Generator, length: int, frames: int) -> Float[Tensor, "1 frames"]:
        kind = float(torch.rand((), generator=random))
        mask = torch.zeros(1, frames)
        if kind < self.whole:
            return mask
        if kind >= self.whole + self.segments:
            mask[:, : _integer(0, length, random)] = 1
            return mask
        mask[:] = 1
        count = _integer(1, self.most_segments, random)
        for _ in range(count):
            size = _integer(1, max(1, length // count), random)
            start = _integer(0, length - size, random)
            mask[:, start : start + size] = 0
        return mask


def sounding_frames(
    numbers: Mapping[str, Float[Tensor, "batch"]], items: int, *, rate: float
) -> list[float]:
    """Return the frames of each item before its recording ends; endless where that is not known.

    Args:
        numbers: What the batch is conditioned on.
        items: Of the batch.
        rate: Latent frames per second.
    """
    if "seconds_total" not in numbers:
        return [math.inf] * items
    seconds = numbers["seconds_total"] - numbers.get("seconds_start", 0)
    found: list[float] = (seconds.cpu() * rate).ceil().tolist()
    return found


def _integer(low: int, high: int, random: Generator) -> int:
    """Draw one of `low..high`, both included."""
    return int(torch.randint(low, high + 1, (), generator=random))
