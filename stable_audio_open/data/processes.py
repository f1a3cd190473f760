"""Processes that share out a work, as torchrun starts them."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple, TypeVar

import torch.distributed

PATIENCE = timedelta(days=30)
"""Processes end at different times; that of gloo is half an hour."""

Result = TypeVar("Result")


class JoinedProcesses(NamedTuple):
    """This process among all."""

    rank: int = 0
    """Its number, over all machines."""
    local_rank: int = 0
    """Its number on this machine, which is that of its GPU."""
    total: int = 1
    """How many there are."""

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.total > 1:
            torch.distributed.barrier()

    def in_first(self, work: Callable[[], Result]) -> Result | None:
        """Let the first process work, such as load what it alone needs, while the others wait.

        Returns:
            What the work returns; None in the other processes.

        Raises:
            ValueError: In the others, where the work failed; in the first, what it raised.
        """
        found, fault = None, None
        if self.rank == 0:
            try:
                found = work()
            except Exception as error:  # noqa: BLE001, raised below once the others know
                fault = error
        told = [None if fault is None else str(fault)]
        if self.total > 1:
            torch.distributed.broadcast_object_list(told)
        if fault is not None:
            raise fault
        if told[0] is not None:
            raise ValueError(f"the first process cannot go on: {told[0]}")
        return found


@contextmanager
def joined_processes() -> Iterator[JoinedProcesses]:
    """Join the processes that RANK, LOCAL_RANK and WORLD_SIZE tell of; without them, be alone.

    Raises:
        ValueError: When only some of the variables are there.
    """
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE")
    values = [os.environ[name] for name in names if name in os.environ]
    if not values:
        yield JoinedProcesses()
        return
    if len(values) < len(names) or not all(value.isdecimal() for value in values):
        raise ValueError(
            f"the environment must have {', '.join(names)}, all of them numbers, or none; start "
            "several processes with torchrun"
        )
    processes = JoinedProcesses(*map(int, values))
    if processes.total == 1:
        yield processes
        return
    torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield processes
    finally:
        torch.distributed.destroy_process_group()
