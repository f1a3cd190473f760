"""Time the parts of the model, against diffusers on the same weights where it has them.

    python scripts/benchmark.py --size published --depth 4 --frames 256 --only step decode encode

Parts:
  step      one sampling step with guidance (batch doubled), against StableAudioDiTModel
  decode    latents to waveform, against AutoencoderOobleck
  encode    waveform to latents, against AutoencoderOobleck
  generate  a trained model from text to waveform: in a fresh process, loading, generating
  training  a step of the autoencoder and one of the transformer, by stages

Both sides of step, decode and encode hold the same random weights. Their outputs are compared
before any clock starts, and nothing is timed when they differ: in float32 by more than 1e-4 of
the output's root mean square; in bfloat16 (float16) when either differs by more than 0.3 (0.05)
from its own output in float32. The two are then timed in turns: A B A B ...

Exit codes: 0 done, 1 failed (outputs that differ, no memory), 2 wrong use.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PARTS = ("step", "decode", "encode", "generate", "training")
SIZES = ("tiny", "small", "published")
DTYPES = ("float32", "bfloat16", "float16")
FAILURE, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except ModuleNotFoundError as error:
        return _fail(
            f'package {error.name!r} is missing: pip install "stable-audio-open[dev]"', FAILURE
        )
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        code, message = _explain(error)
        if message is None:
            raise
        return _fail(message, code)
    return 0


def _run(options: argparse.Namespace) -> None:
    import torch
    from benchmarking.parts import Settings, measure
    from benchmarking.report import describe_machine, show

    from stable_audio_open.files.atomic import replace_bytes

    _check(options, cuda=torch.cuda.is_available())
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    # float32 means float32, for both sides.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    names = [field.name for field in dataclasses.fields(Settings)]
    settings = Settings(**{name: getattr(options, name) for name in names})
    report: dict[str, Any] = {
        "format": 1,
        "machine": describe_machine(torch.device(options.device)),
        "settings": dataclasses.asdict(settings),
        "parts": {},
    }
    for part in dict.fromkeys(options.only):
        _say(f"{part} ...")
        report["parts"] |= measure(part, settings)
    show(report)
    if options.json is not None:
        replace_bytes(options.json, (json.dumps(report, indent=2) + "\n").encode())


def _check(options: argparse.Namespace, *, cuda: bool) -> None:
    """Refuse what can be refused before anything is built."""
    if options.device == "cuda" and not cuda:
        raise ValueError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
    if "training" in options.only and options.dtype == "float16":
        raise ValueError(
            "--dtype float16: training runs in float32 or bfloat16 (mixed precision); choose one, "
            "or leave training out of --only"
        )
    if options.json is None:
        return
    folder = options.json.parent
    if not folder.is_dir():
        raise ValueError(f"--json {options.json}: there is no folder {folder}; create it first")
    if options.json.is_dir() or not os.access(folder, os.W_OK):
        raise ValueError(f"--json {options.json}: cannot be written there; choose another file")


def _explain(error: Exception) -> tuple[int, str | None]:
    """Return an exit code, and a message unless the error was not foreseen."""
    from benchmarking.comparison import OutputsDifferError

    from stable_audio_open.checkpoint.weights.tensors import CheckpointError

    told = str(error)
    short = isinstance(error, MemoryError) or any(
        words in told for words in ("out of memory", "t allocate memory")
    )
    if short:
        return FAILURE, "out of memory; try fewer --frames, a lower --depth or a smaller --size"
    if isinstance(error, OutputsDifferError | CheckpointError | OSError):
        return FAILURE, told
    return USAGE, told if isinstance(error, ValueError) else None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--size",
        choices=SIZES,
        default="tiny",
        help="numbers of the model: configs/tiny, something between, or the 1.06 billion of the "
        "published transformer with its autoencoder (default: tiny)",
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=PARTS,
        default=list(PARTS),
        metavar="PART",
        help=f"parts to time: {', '.join(PARTS)} (default: all)",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default: cpu")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="of weights and activations; in training, bfloat16 is mixed precision "
        "(default: float32)",
    )
    parser.add_argument("--depth", type=_count, help="blocks of the transformer (default: all)")
    parser.add_argument(
        "--frames", type=_count, help="latent frames of the window (default: the model's)"
    )
    parser.add_argument(
        "--repeats", type=_count, default=5, help="measurements of each side (default: 5)"
    )
    parser.add_argument(
        "--warmup", type=_whole, default=1, help="rounds that are not counted (default: 1)"
    )
    parser.add_argument(
        "--calls",
        type=_count,
        default=1,
        help="calls in a row per measurement of step, decode and encode; more for short calls, "
        "or to let a GPU's queue fill (default: 1)",
    )
    parser.add_argument(
        "--threads", type=_count, help="CPU threads (default: PyTorch's choice, one per core)"
    )
    parser.add_argument(
        "--seed", type=_whole, default=0, help="of weights, inputs and noise (default: 0)"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write everything measured to a file"
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
    return parser


def _count(text: str) -> int:
    number = _whole(text)
    if number == 0:
        raise argparse.ArgumentTypeError("must be at least 1, got 0")
    return number


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number, at least 0, got {text!r}")
    return int(text)


def _say(message: str) -> None:
    print(f"benchmark: {message}", file=sys.stderr, flush=True)


def _fail(message: str, code: int) -> int:
    _say(" ".join(message.split()))
    return code


if __name__ == "__main__":
    sys.exit(main())
