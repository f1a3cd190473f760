"""Random numbers of a training batch, reproducible from seed, rank, step and batch alone."""

import hashlib

import torch


def batch_generator(*, seed: int, rank: int, step: int, batch: int) -> torch.Generator:
    """Return a CPU generator for one batch of one process.

    A resumed run draws the same numbers as an uninterrupted one, with no state to save.

    Args:
        seed: Of the run.
        rank: Number of the process.
        step: Optimiser steps taken before; several batches share it where gradients accumulate.
        batch: Number of the batch in its epoch.
    """
    digest = hashlib.sha256(f"{seed}/{rank}/{step}/{batch}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
