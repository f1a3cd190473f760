"""Time the parts of the model, and next to them the same in diffusers and stable-audio-tools.

    python scripts/benchmark.py --quick --peer diffusers --peer stable-audio-tools:PYTHON

Parts:
  load, text, step, decode, encode, clip
            the weights from their file; a prompt to conditioning; one sampling step with guidance
            (batch doubled); latents to waveform and back; all of it, without loading
  train-transformer, train-autoencoder
            forward, mean squared error, backward, clipping, AdamW
  crops     5 s of a long WAV, FLAC and MP3 file, against reading the whole
  generate  a trained model from text to waveform: in a fresh process, loading, generating
  training  a step of the autoencoder and one of the transformer, by stages
  growth    step and decode by frames, the start of training data by number of recordings

Each side is a process of its own, with its own interpreter; all read the same random weights from
files, and are asked in turns: A B A B ... Their outputs are compared first, and what differs is
not timed: in float32 by more than 1e-4 of the output's root mean square (training: loss and norm
of the gradient by 1e-3); in bfloat16 (float16) when either differs by more than 0.3 (0.05) from
its own output in float32. A clip's noise and solver are each side's own.

A peer that fails is left out of the case, and told; what else was measured is written.

Exit codes: 0 done, 1 failed (outputs that differ, a side that failed, no memory), 2 wrong use.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

FAILURE, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write; return the exit code."""
    from benchmarking.options import read_options

    try:
        return _run(read_options(arguments, __doc__))
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


def _run(options: argparse.Namespace) -> int:
    import torch
    from benchmarking.options import check
    from benchmarking.parts import Settings, measure
    from benchmarking.showing.report import describe_machine, show
    from benchmarking.turns import Clock

    clock = Clock(options.at_most)
    check(options, cuda=torch.cuda.is_available())
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    # float32 means float32, for all sides.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    names = [field.name for field in dataclasses.fields(Settings)]
    settings = Settings(**{name: getattr(options, name) for name in names})
    report: dict[str, Any] = {
        "format": 2,
        "machine": describe_machine(torch.device(options.device)),
        "settings": dataclasses.asdict(settings) | {"peer": [name for name, _ in options.peer]},
        "left_out": clock.left_out,
    }

    def tell(line: str) -> None:
        _say(line)
        if report["parts"]:
            # Whoever ends this process keeps what there is.
            _write(report, options)

    try:
        measure(options.only, settings, clock, report, tell=tell)
    finally:
        # What was measured before something failed is not lost.
        if report.get("parts") or report.get("growth") or clock.left_out:
            show(report)
            _write(report, options)
            _draw(report, options)
    return FAILURE if report["failures"] else 0


def _write(report: dict[str, Any], options: argparse.Namespace) -> None:
    from benchmarking.showing.tables import markdown

    from stable_audio_open.files.atomic import replace_bytes

    if options.json is not None:
        replace_bytes(options.json, (json.dumps(report, indent=2) + "\n").encode())
    if options.markdown is not None:
        replace_bytes(options.markdown, markdown(report).encode())


def _draw(report: dict[str, Any], options: argparse.Namespace) -> None:
    from stable_audio_open.files.atomic import replace_bytes

    if options.plots is not None:
        from benchmarking.showing.plots import draw

        for name, data in draw(report).items():
            replace_bytes(options.plots / name, data)


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


def _say(message: str) -> None:
    print(f"benchmark: {message}", file=sys.stderr, flush=True)


def _fail(message: str, code: int) -> int:
    _say(" ".join(message.split()))
    return code


if __name__ == "__main__":
    sys.exit(main())
