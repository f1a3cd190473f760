"""The command's options, and what can be refused before anything is built."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

CASES = (
    *("load", "text", "step", "decode", "encode", "clip"),
    *("train-transformer", "train-autoencoder"),
)
PARTS = (*CASES, "crops", "generate", "training", "growth")
PEERS = ("diffusers", "stable-audio-tools")
SIZES = ("tiny", "small", "published")
DTYPES = ("float32", "bfloat16", "float16")
QUICK = {
    "size": "published",
    "depth": 2,
    "frames": 32,
    "crop_frames": 4,
    "clip_steps": 4,
    "minutes": 3.0,
    "repeats": 3,
    "warmup": 0,
    "case_seconds": 12.0,
    "at_most": 210.0,
    "most_frames": 256,
    "most_recordings": 20000,
    "only": [*CASES, "crops"],
}
GPU = {
    "size": "published",
    "device": "cuda",
    "dtype": "bfloat16",
    "clip_steps": 100,
    "repeats": 10,
    "warmup": 2,
    "case_seconds": 20.0,
    "at_most": 420.0,
    "only": list(CASES),
}


def read_options(arguments: Sequence[str] | None, description: str | None) -> argparse.Namespace:
    """Read the options; what a preset sets gives way to what is said.

    Args:
        arguments: Of the command line; the process's when None.
        description: Shown before the options.

    Raises:
        ValueError: A peer that is unknown, named twice, or has no interpreter.
    """
    parser = _parser(description)
    first, _ = parser.parse_known_args(arguments)
    for chosen, preset in ((first.quick, QUICK), (first.gpu, GPU)):
        if chosen:
            parser.set_defaults(**preset)
    options = parser.parse_args(arguments)
    if options.plots is not None and "growth" not in options.only:
        options.only = [*options.only, "growth"]
    options.only = list(dict.fromkeys(options.only))
    options.peer = _peers(options.peer)
    return options


def check(options: argparse.Namespace, *, cuda: bool) -> None:
    """Refuse what can be refused before anything is built.

    Raises:
        ValueError: One line with the fault and the remedy.
    """
    if options.device == "cuda" and not cuda:
        raise ValueError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    trained = [part for part in options.only if part.startswith("train")]
    if trained and options.dtype == "float16":
        raise ValueError(
            "--dtype float16: training runs in float32 or bfloat16 (mixed precision); choose one, "
            f"or leave {' and '.join(trained)} out of --only"
        )
    for name in ("json", "markdown"):
        path: Path | None = getattr(options, name)
        if path is None:
            continue
        folder = path.parent
        if not folder.is_dir():
            raise ValueError(f"--{name} {path}: there is no folder {folder}; create it first")
        if path.is_dir() or not os.access(folder, os.W_OK):
            raise ValueError(f"--{name} {path}: cannot be written there; choose another file")
    if options.plots is not None and not options.plots.is_dir():
        raise ValueError(f"--plots {options.plots}: there is no such folder; create it first")


def _peers(given: Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """Return names and interpreters.

    Raises:
        ValueError: A peer that is unknown, named twice, or has no interpreter.
    """
    found: dict[str, str] = {}
    for text in given or ["diffusers"]:
        name, _, python = text.partition(":")
        if name == "none" and len(given or ()) == 1:
            return ()
        if name not in PEERS:
            raise ValueError(f"--peer {text}: allowed are {', '.join(PEERS)} and none, alone")
        if name in found:
            raise ValueError(f"--peer {text}: {name} is given twice; leave one out")
        if not python and name == "diffusers":
            python = sys.executable
        path = shutil.which(python) if python else None
        if path is None:
            raise ValueError(
                f"--peer {text}: give the Python interpreter that has it, --peer {name}:PYTHON"
            )
        # Not resolved: the interpreter of an environment is a link to another one.
        found[name] = str(Path(path).absolute())
    return tuple(found.items())


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--quick",
        action="store_true",
        help="about 3 minutes of two cores: published widths, 2 blocks, 32 frames; other options "
        "go before what this sets",
    )
    add(
        "--gpu",
        action="store_true",
        help="the published size in bfloat16 on a CUDA device, whole, in at most 8 minutes",
    )
    add(
        "--peer",
        action="append",
        metavar="NAME[:PYTHON]",
        help="what to compare with, and the interpreter that has it: diffusers (default, of this "
        "interpreter), stable-audio-tools:PYTHON, or none; can be given again",
    )
    add(
        "--size",
        choices=SIZES,
        default="tiny",
        help="numbers of the model: configs/tiny, something between, or the 1.06 billion of the "
        "published transformer with its autoencoder (default: tiny)",
    )
    add(
        "--only",
        nargs="+",
        choices=PARTS,
        metavar="PART",
        default=[part for part in PARTS if part != "growth"],
        help=f"parts to time: {', '.join(PARTS)} (default: all but growth)",
    )
    add("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    add(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="of weights and activations; in training, bfloat16 is mixed precision "
        "(default: float32)",
    )
    add("--depth", type=_count, help="blocks of the transformer (default: all)")
    add("--frames", type=_count, help="latent frames of the window (default: the model's)")
    add("--repeats", type=_count, default=5, help="measurements of each side (default: 5)")
    add("--warmup", type=_whole, default=1, help="rounds that are not counted (default: 1)")
    add(
        "--calls",
        type=_count,
        default=1,
        help="calls in a row per measurement of text, step, decode and encode; more for short "
        "calls, or to let a GPU's queue fill (default: 1)",
    )
    add("--threads", type=_count, help="CPU threads (default: PyTorch's choice, one per core)")
    add("--seed", type=_whole, default=0, help="of weights, inputs and noise (default: 0)")
    add(
        "--case-seconds",
        type=float,
        metavar="SECONDS",
        help="begin no other round of a case after so long (default: none is too long)",
    )
    add(
        "--at-most",
        type=float,
        metavar="SECONDS",
        help="begin nothing more after so long; what is left out is said (default: no end)",
    )
    add("--json", type=Path, metavar="FILE", help="write everything measured to a file")
    add("--markdown", type=Path, metavar="FILE", help="write the tables to a file")
    add(
        "--plots",
        type=Path,
        metavar="FOLDER",
        help="measure growth too, and draw bars.png and growth.png there",
    )
    group = parser.add_argument_group("clip, crops and growth")
    group.add_argument(
        "--clip-steps", type=_count, default=10, help="sampling steps of a clip (default: 10)"
    )
    group.add_argument(
        "--minutes", type=float, default=60.0, help="length of the files of crops (default: 60)"
    )
    group.add_argument(
        "--most-frames", type=_count, help="largest number of frames of growth (default: 4096)"
    )
    group.add_argument(
        "--most-recordings",
        type=_count,
        help="largest number of recordings of growth (default: 500,000)",
    )
    group = parser.add_argument_group("generate")
    group.add_argument("--model", default="tiny", help="what to load (default: tiny, bundled)")
    group.add_argument("--duration", type=float, default=2.0, help="seconds (default: 2)")
    group.add_argument("--steps", type=_count, default=50, help="sampling steps (default: 50)")
    group = parser.add_argument_group("training")
    group.add_argument("--batch", type=_count, help="sounds at once (default: the configuration's)")
    group.add_argument(
        "--crop-frames",
        type=_count,
        help="latent frames of the autoencoder's crops (default: the configuration's)",
    )
    return parser  # fmt: skip


def _count(text: str) -> int:
    number = _whole(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1, got 0")
    return number


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 0, got {text!r}")
    return int(text)
