"""Pickles that would run something when they are read."""

import io
import os
import pickle
import subprocess
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import torch

CANARY = "canary"
"""A file that only a pickle that was run can have made."""


class _Call:
    """Pickled, it is a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def hostile(canary: Path, random: Random) -> tuple[bytes, str]:
    """Return a file that is a pickle, or holds one, and what it would run."""
    calls = {
        "os.system": _Call(os.system, f"touch {canary}"),
        "os.mkdir": _Call(os.mkdir, str(canary)),
        "exec": _Call(exec, f"open({str(canary)!r}, 'w')"),
        "eval": _Call(eval, f"__import__('os').mkdir({str(canary)!r})"),
        "subprocess.call": _Call(subprocess.call, ["touch", str(canary)]),
        "Path.touch": _Call(Path.touch, canary),
        "torch.save": _Call(torch.save, 1, str(canary)),
        "open": _Call(open, str(canary), "w"),
    }
    name = random.choice(sorted(calls))
    call = calls[name]
    held = {
        "alone": call,
        "beside tensors": {"state_dict": {"a": torch.zeros(1)}, "more": call},
        "among tensors": {"state_dict": {"a": torch.zeros(1), "b": call}},
        "as a name": {"model": {call: torch.zeros(1)}} if name == "exec" else {"model": call},
    }
    place = random.choice(sorted(held))
    form = random.choice(("bare", "zip", "legacy", "zip, second"))
    return _write(held[place], form, random), f"{name} {place} ({form})"


def _write(value: Any, form: str, random: Random) -> bytes:
    file = io.BytesIO()
    match form:
        case "bare":
            return pickle.dumps(value, protocol=random.choice((0, 2, 4, 5)))
        case "zip":
            torch.save(value, file)
        case "legacy":
            torch.save(value, file, _use_new_zipfile_serialization=False)
        case _:
            # What a second entry of the same name holds is read by some, and not by others.
            torch.save({"a": torch.zeros(1)}, file)
            with zipfile.ZipFile(file, "a") as archive:
                name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    archive.writestr(name, pickle.dumps(value, protocol=2))
    return file.getvalue()
