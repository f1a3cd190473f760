"""Random numbers of a training batch, reproducible with no state to save."""

import hashlib

import torch
from torch import Tensor, distributed


class BatchRandomness:
    """Random numbers of one process' part of a batch, each item with a generator of its own.

    They depend on (seed, step, batch, number of the item in the whole batch) alone: a resumed run
    draws the same numbers as an uninterrupted one, and two processes with two items each the same
    as one process with four.

    Args:
        seed: Seed of the run.
        step: Optimiser steps taken before; several batches share it where gradients accumulate.
        batch: Number of the batch in its epoch.
        items: Items of this process.
        rank: Number of this process; its items are every `processes`-th from this one on, as
            PyTorch's DistributedSampler deals them.
        processes: Number of processes that share the batch.
    """

    def __init__(
        self, *, seed: int, step: int, batch: int, items: int, rank: int = 0, processes: int = 1
    ) -> None:
        self.generators = [
            _generator(f"{seed}/{step}/{batch}/{rank + processes * item}") for item in range(items)
        ]

    def normal(self, *shape: int) -> Tensor:
        """Return normal numbers `[items, *shape]` (on the CPU)."""
        return torch.stack([torch.randn(shape, generator=own) for own in self.generators])

    def uniform(self) -> Tensor:
        """Return a number in 0..1 for each item (on the CPU)."""
        return torch.stack([torch.rand((), generator=own) for own in self.generators])

    @property
    def seed(self) -> int:
        """Seed for what can only draw from a global state; differs between processes."""
        return self.generators[0].initial_seed()


def process_count() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def _generator(place: str) -> torch.Generator:
    digest = hashlib.sha256(place.encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
