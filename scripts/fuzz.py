"""Give the product what is a little, or very, unlike what it wrote, and see how it answers.

    python scripts/fuzz.py                              # all: some minutes
    python scripts/fuzz.py --seconds 60                 # of each kind, as far as that goes
    python scripts/fuzz.py --seed 0 --only recordings:17

Kinds:
  configurations  native ones, curations, and those of stable-audio-tools
  checkpoints     models in every layout, checkpoints of runs, and adapters
  recordings      every format and encoding that libsndfile writes
  archives        shards of latents and recordings, pickles that would run something, and
                  published statistics of reference sets

The originals are written by the product itself. Each case is drawn from seed, kind and number
alone, and read in a child that is forked from this process and limited in memory, time and files.
A right answer is what was written, or an error of one line that names the file. Faults are:
  traceback  an error of another sort       nameless  a line that does not name the file
  signal     the child was ended            limit     too much memory, time or file
  silent     what is wrong was read         refused   what is right was not
  outside    written outside of its folder  started   a program, a connection, or a pickle's call

For Linux. Exit codes: 0 no fault, 1 faults, 2 wrong use.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fuzzing.child import Case, Limits, Outcome

    Draw = Callable[[Random, Path], Case]

COUNTS = {"configurations": 2000, "checkpoints": 500, "recordings": 1000, "archives": 100}
INSIDE = "a/b/c/d/e/f"
"""Folders between the temporary one and the case's, so that `../..` leads nowhere else."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases, tell the faults, and return the exit code."""
    options = _parser().parse_args(arguments)
    counts = {kind: getattr(options, kind) for kind in COUNTS}
    if options.only:
        counts = {kind: int(kind == options.only[0]) for kind in COUNTS}
    # Before they are imported: children of several threads cannot be forked, and none may fetch.
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    with tempfile.TemporaryDirectory(prefix="fuzz_") as scratch:
        kinds = make_kinds([kind for kind in COUNTS if counts[kind]], Path(scratch), options.seed)
        print(f"seed {options.seed}, originals are written", flush=True)
        order = [options.only] if options.only else in_turns(counts)
        return run(kinds, order, Path(scratch), seed=options.seed, seconds=options.seconds)


def make_kinds(names: Sequence[str], scratch: Path, seed: int) -> dict[str, Draw]:
    """Write the originals, and return what draws cases of each kind."""
    import torch

    torch.set_num_threads(1)
    from fuzzing.archives import Archives
    from fuzzing.checkpoints import Checkpoints
    from fuzzing.configurations import Configurations
    from fuzzing.models import write_models
    from fuzzing.quiet import quiet
    from fuzzing.recordings import Recordings

    kinds: dict[str, Draw] = {}
    if "configurations" in names:
        kinds["configurations"] = Configurations().draw
    if "recordings" in names:
        kinds["recordings"] = Recordings(scratch / "sounds").draw
    if "checkpoints" in names or "archives" in names:
        with quiet():
            models = scratch / "models"
            layouts = write_models(models, seed=seed)
            kinds["checkpoints"] = Checkpoints(layouts, models / "adapter").draw
            kinds["archives"] = Archives(layouts, scratch / "shards").draw
    return kinds


def in_turns(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return all cases, those of each kind spread evenly over the whole."""
    cases = [
        ((number + 0.5) / count, kind, number)
        for kind, count in counts.items()
        for number in range(count)
    ]
    return [(kind, number) for _, kind, number in sorted(cases)]


def run(
    kinds: Mapping[str, Draw],
    order: Sequence[tuple[str, int]],
    scratch: Path,
    *,
    seed: int,
    seconds: float | None = None,
    limits: Limits | None = None,
) -> int:
    """Run cases in their order, print a line for each fault, and return the exit code.

    Args:
        kinds: What draws a case of each kind, from random numbers and into a folder.
        order: Kind and number of each case.
        scratch: A temporary folder; whatever else is in it must stay as it is.
        seed: With kind and number, it decides the random numbers.
        seconds: No case is begun after so long.
        limits: Those of the children.
    """
    done: Counter[str] = Counter()
    answers: Counter[tuple[str, str | None]] = Counter()
    faults: Counter[tuple[str, str]] = Counter()
    settings = (seed, seconds, limits)
    for kind, number, words, (answer, fault) in _outcomes(kinds, order, scratch, settings):
        done[kind] += 1
        answers[kind, answer] += 1
        if fault is not None:
            faults[kind, fault.sort] += 1
            told = " ".join(fault.told.replace(str(scratch), "").split())
            print(
                f"{fault.sort}: {kind}: {words}: {told}; "
                f"python scripts/fuzz.py --seed {seed} --only {kind}:{number}".encode(
                    "ascii", "backslashreplace"
                ).decode(),
                flush=True,
            )
    for kind in sorted({kind for kind, _ in order}, key=list(COUNTS).index):
        found = [f"{count} {sort}" for (own, sort), count in sorted(faults.items()) if own == kind]
        read, refused = answers[kind, "read"], answers[kind, "refused"]
        print(
            f"{kind}: {done[kind]} cases ({read} read, {refused} refused), "
            f"{', '.join(found) or 'no fault'}"
        )
    return 1 if faults else 0


def _outcomes(
    kinds: Mapping[str, Draw],
    order: Sequence[tuple[str, int]],
    scratch: Path,
    settings: tuple[int, float | None, Limits | None],
) -> Iterator[tuple[str, int, str, Outcome]]:
    """Yield kind, number and mutation of each case, and how it ended."""
    from fuzzing.child import Fault, Limits, run_case
    from fuzzing.guard import listing

    seed, seconds, limits = settings
    folder = (scratch / INSIDE / "case").resolve()
    folder.mkdir(parents=True)
    before = listing(scratch.resolve(), besides=folder)
    start = time.monotonic()
    for kind, number in order:
        if seconds is not None and time.monotonic() - start > seconds:
            return
        case = kinds[kind](Random(f"{seed}:{kind}:{number}"), folder)
        outcome = run_case(case, folder, limits or Limits())
        after = listing(scratch.resolve(), besides=folder)
        changed = sorted(name for name, state in after.items() if before.get(name) != state)
        changed += sorted(before.keys() - after.keys())
        if changed:
            outcome = outcome._replace(fault=Fault("outside", f"changed {changed[0]}"))
            before = after
        yield kind, number, case.words, outcome
        shutil.rmtree(folder)
        folder.mkdir()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="all cases follow from it (0)")
    for kind, count in COUNTS.items():
        parser.add_argument(f"--{kind}", type=int, default=count, help=f"cases ({count})")
    parser.add_argument("--seconds", type=float, help="begin no case after so long, of any kind")
    parser.add_argument(
        "--only", type=_case, metavar="KIND:NUMBER", help="repeat this case of the seed"
    )
    return parser


def _case(text: str) -> tuple[str, int]:
    kind, _, number = text.partition(":")
    if kind not in COUNTS or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}; allowed: one of {', '.join(COUNTS)}, and :17")
    return kind, int(number)


if __name__ == "__main__":
    sys.exit(main())
