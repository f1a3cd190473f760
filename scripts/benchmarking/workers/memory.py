"""The most memory that a call holds: of the process, and on a CUDA device."""

import ctypes
import gc
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

INTERVAL = 0.004
"""Seconds between two looks at the process; a shorter peak can be missed."""
_STATUS = Path("/proc/self/status")


def resident() -> dict[str, int] | None:
    """Return bytes of the process, of its own and with the pages of mapped files.

    Where the system does not tell (it is not Linux), return None.
    """
    if not _STATUS.is_file():
        return None
    fields = {}
    for line in _STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("RssAnon", "RssShmem", "VmRSS"):
            fields[name] = int(value.split()[0]) * 1024
    if len(fields) < 3:
        return None
    return {"own": fields["RssAnon"] + fields["RssShmem"], "with_mapped": fields["VmRSS"]}


class _Watch(threading.Thread):
    """Looks again and again, and keeps the highest values."""

    def __init__(self, first: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self.highest = first
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(INTERVAL):
            self.look()

    def look(self) -> None:
        found = resident()
        assert found is not None
        self.highest = {name: max(value, found[name]) for name, value in self.highest.items()}

    def end(self) -> None:
        self._over.set()
        self.join()
        self.look()


def memory_of(call: Callable[[], object], *, device: torch.device) -> dict[str, Any]:
    """Return the peaks of a call in bytes, with all that was held before it.

    `own` and `with_mapped` are of the process (resident, without and with the pages of mapped
    files), `own_before` is what it held when the call began; `allocated` and `reserved` are of a
    CUDA device. What cannot be read is None.
    """
    gc.collect()
    _give_back(device)
    before = resident()
    watch = None if before is None else _Watch(dict(before))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    if watch is not None:
        watch.start()
    kept = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    if watch is not None:
        watch.end()
    del kept
    on_gpu = device.type == "cuda"
    return {
        "own": None if watch is None else watch.highest["own"],
        "own_before": None if before is None else before["own"],
        "with_mapped": None if watch is None else watch.highest["with_mapped"],
        "allocated": torch.cuda.max_memory_allocated(device) if on_gpu else None,
        "reserved": torch.cuda.max_memory_reserved(device) if on_gpu else None,
    }


def _give_back(device: torch.device) -> None:
    """Return to the system what earlier calls have left with the allocators."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.empty_cache()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):  # not glibc
        return
