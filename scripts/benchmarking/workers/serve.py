"""One side in a process of its own: `PYTHON -m benchmarking.workers.serve SIDE`.

It reads a JSON object a line from standard input, and answers each with one on standard output.
"""

import gc
import importlib
import importlib.metadata
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.utils.flop_counter import FlopCounterMode

from benchmarking.timing import seconds_of, synchronize
from benchmarking.workers.memory import memory_of
from benchmarking.workers.roofline import roofline
from benchmarking.workers.side import Call, Job, Side

SIDES = {
    "stable-audio-open": ("our_side", "OurSide"),
    "diffusers": ("diffusers_side", "DiffusersSide"),
    "stable-audio-tools": ("stable_audio_tools_side", "StableAudioToolsSide"),
}


class Server:
    """Does what the lines ask for; each method is a request, and its keywords are the fields."""

    def __init__(self, side: str) -> None:
        module, name = SIDES[side]
        self._kind = getattr(importlib.import_module(f"benchmarking.workers.{module}"), name)
        self._side: Side
        self._job: Job
        self._call: Call | None = None

    def open(
        self,
        *,
        folder: str,
        device: str,
        dtype: str,
        threads: int | None,
        steps: int,
        seed: int,
    ) -> dict[str, Any]:
        """Say what the cases share, and load the weights in `dtype`."""
        if threads is not None:
            torch.set_num_threads(threads)
        # float32 means float32, for all sides.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        self.close()
        self._job = Job(
            folder=Path(folder),
            device=torch.device(device),
            dtype=getattr(torch, dtype),
            steps=steps,
            seed=seed,
        )
        self._side = self._kind(self._job)
        self._side.load()
        versions = {name: _version(name) for name in self._side.packages}
        return {"versions": versions, "threads": torch.get_num_threads()}

    def prepare(self, *, case: str, inputs: str, mixed: str | None = None) -> dict[str, Any]:
        """Make a case ready; `has` says whether the side has it.

        `mixed` is the type of mixed precision in training.
        """
        self._call = None
        gc.collect()
        if case == "load":
            self._call = self._load
        else:
            tensors = load_file(inputs, device=str(self._job.device))
            kind = None if mixed is None else getattr(torch, mixed)
            self._call = self._side.case(case, tensors, mixed=kind)
        return {"has": self._call is not None}

    def output(self, *, file: str) -> dict[str, Any]:
        """Write what the case returns."""
        save_file({"output": self._made()().detach().float().cpu().contiguous()}, file)
        return {}

    def memory(self) -> dict[str, Any]:
        """Return the peaks of a call; of loading, with nothing loaded before."""
        if self._call == self._load:
            self._side.drop()
        return memory_of(self._made(), device=self._job.device)

    def operations(self) -> dict[str, Any]:
        """Return the floating-point operations of matrix products, convolutions and attention."""
        with FlopCounterMode(display=False) as counter:
            self._made()()
        return {"operations": counter.get_total_flops()}

    def time(self, *, calls: int) -> dict[str, Any]:
        """Return the seconds of a call."""
        return {"seconds": seconds_of(self._made(), device=self._job.device, calls=calls)}

    def roofline(self, *, dtype: str, device: str, threads: int | None) -> dict[str, Any]:
        """Return what the machine can do at most."""
        if threads is not None:
            torch.set_num_threads(threads)
        return roofline(getattr(torch, dtype), device=torch.device(device))

    def close(self) -> dict[str, Any]:
        """Drop the model."""
        self._call = None
        self.__dict__.pop("_side", None)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return {}

    def _load(self) -> torch.Tensor:
        self._side.load()
        synchronize(self._job.device)
        return torch.zeros(1)

    def _made(self) -> Call:
        assert self._call is not None
        return self._call


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Answer until there is nothing more to read."""
    # What packages print goes to standard error: the answers have standard output to themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    server: Server | None = None
    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        try:
            if server is None:
                server = Server(sys.argv[1])
            answer = getattr(server, request.pop("do"))(**request)
        except Exception as error:  # noqa: BLE001, what the side raises is told, and ends the run
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
