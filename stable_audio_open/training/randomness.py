"""Random numbers of a training step, reproducible from seed, rank and step alone."""

import hashlib

import torch


def step_generator(*, seed: int, rank: int, step: int) -> torch.Generator:
    """Return a CPU generator for one step of one process.

    A resumed run draws the same numbers as an uninterrupted one, with no state to save.
    """
    digest = hashlib.sha256(f"{seed}/{rank}/{step}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
