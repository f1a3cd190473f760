"""Stages that workers of other processes can import, whatever imports the tests."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import torch

LAST = 60


def noting(folder: Path) -> Callable[[int], int]:
    """Square numbers; leave a file for each stage made and each number begun."""
    (folder / f"made-{os.getpid()}").touch()

    def square(number: int) -> int:
        with (folder / f"number-{number}").open("a") as file:
            file.write(f"{os.getpid()}\n")
        return number * number

    return square


def late_first(seconds: float) -> Callable[[int], int]:
    """Be slowest with what comes first."""

    def same(number: int) -> int:
        time.sleep(seconds * (number % 4 == 0))
        return number

    return same


def killed_once(folder: Path, at: int) -> Callable[[int], int]:
    """Kill the own process at a number, the first time."""
    square, mark = noting(folder), folder / "killed"

    def fatal(number: int) -> int:
        value = square(number)
        if number == at and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    return fatal


def killed_always(at: int) -> Callable[[int], int]:
    def fatal(number: int) -> int:
        if number == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    return fatal


def refusing(at: int) -> Callable[[int], int]:
    def refuse(number: int) -> int:
        if number == at:
            raise ValueError(f"{number} is refused")
        return number

    return refuse


def unmade() -> Callable[[int], int]:
    raise ValueError("the weights are missing")


def threads() -> Callable[[int], int]:
    return lambda _: torch.get_num_threads()


def where() -> Callable[[int], str]:
    return lambda _: str(Path.cwd())


def node() -> Callable[[int], str]:
    import ray

    def name(_: int) -> str:
        time.sleep(0.2)
        return str(ray.get_runtime_context().get_node_id())

    return name


def spectrum(mono: torch.Tensor) -> torch.Tensor:
    """Embed a second in magnitudes of 64 bins."""
    return torch.fft.rfft(mono[:16000]).abs()[None, 1:65]


class SpectrumEmbedder:
    """Of this file, since a worker finds nothing else of the tests."""

    name = "spectrum"
    sample_rate = 16000

    def __call__(self, mono: torch.Tensor) -> torch.Tensor:
        return spectrum(mono)


def spectrum_embedder() -> SpectrumEmbedder:
    return SpectrumEmbedder()
