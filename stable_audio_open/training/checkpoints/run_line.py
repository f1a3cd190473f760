"""The line of a run: its checkpoints, of which it goes on from the highest step."""

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch

logger = logging.getLogger(__name__)

FOLDER, LAST, BEST, ASIDE = "checkpoints", "last.ckpt", "best.ckpt", "aside"
_NAME = re.compile(r"(\d{8,})\.ckpt")


class RunCheckpoint(NamedTuple):
    """A checkpoint of a run."""

    step: int
    path: Path


def step_path(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies in the folder of a run's checkpoints."""
    return folder / f"{step:08d}.ckpt"


def run_line(folder: Path) -> list[RunCheckpoint]:
    """Return the checkpoints of a run's own line, the highest step first.

    All `STEP.ckpt` of a folder are one line: what a resume leaves behind is put aside. `last.ckpt`,
    the newest one under another name, is part of it where it is another file than all of these,
    as when they were deleted.

    Args:
        folder: Folder of the checkpoints, which may be missing.

    Returns:
        Steps and files; of those named by their step, the first alone is opened, to compare it.
    """
    found = [RunCheckpoint(step, path) for step, path in _numbered(folder)]
    last = folder / LAST
    if last.is_file() and not any(last.samefile(one.path) for one in found):
        step = _step_inside(last)
        # Where it cannot be read, it says so when there is no other.
        if step is None and not found:
            step = 0
        if step is not None and step not in {one.step for one in found}:
            found.append(RunCheckpoint(step, last))
    return _by_step_inside(sorted(found, reverse=True))


def _by_step_inside(line: list[RunCheckpoint]) -> list[RunCheckpoint]:
    """Put a checkpoint that is another step than its name says where it belongs."""
    told: set[Path] = set()
    while line and line[0].path not in told:
        first, *rest = line
        told.add(first.path)
        step = _step_inside(first.path)
        if step is None or step == first.step:
            continue
        logger.warning("%s: is a checkpoint of step %d, and is taken for that", first.path, step)
        known = step in {one.step for one in rest}
        line = rest if known else sorted([*rest, RunCheckpoint(step, first.path)], reverse=True)
    return line


def put_aside(folder: Path, start: Path, *, step: int) -> list[Path]:
    """Move what is not of the line that goes on from a checkpoint into a folder of its own.

    These are the checkpoints of higher steps and, where `start` lies elsewhere, all others: they
    are of another run. `last.ckpt` is `start` from then on.

    Args:
        folder: Folder of the run's checkpoints.
        start: Checkpoint that the run goes on from.
        step: Its step.

    Returns:
        Where they are now.
    """
    own = folder.is_dir() and start.parent.resolve() == folder.resolve()
    left = [one.path for one in run_line(folder) if one.step > step or not own]
    best = _best_step(folder)
    if best is not None and (best > step or not own):
        left += [folder / BEST, (folder / BEST).with_suffix(".json")]
    left = [path for path in left if not path.samefile(start)]
    target = _new_folder(folder) if left else None
    last = folder / LAST
    # First of all, or a kill would leave a `last.ckpt` of the line that is left behind.
    if target is not None and last in left:
        _move(last, target)
    if not (last.is_file() and last.samefile(start)):
        folder.mkdir(parents=True, exist_ok=True)
        point(last, start)
    if target is None:
        return []
    for path in left:
        if path != last:
            _move(path, target)
    return [target / path.name for path in left]


def companions(path: Path) -> list[Path]:
    """Return the files that lie beside a checkpoint and are about it: `STEP.ckpt.SUFFIX`."""
    return sorted(path.parent.glob(f"{path.name}.*"))


def delete(path: Path) -> None:
    """Delete a checkpoint and what is about it."""
    for file in (path, *companions(path)):
        file.unlink()


def point(name: Path, target: Path) -> None:
    """Give a file a second name in place of what had it, by a copy where links are not possible."""
    partial = name.with_name(f".{name.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        os.link(target, partial)
    except OSError:
        shutil.copyfile(target, partial)
    partial.replace(name)


def _move(path: Path, target: Path) -> None:
    """Move a checkpoint, and what is about it, into a folder."""
    for file in (path, *companions(path)):
        file.rename(target / file.name)


def _numbered(folder: Path) -> Iterator[tuple[int, Path]]:
    for path in folder.iterdir() if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match:
            yield int(match[1]), path


def _step_inside(path: Path) -> int | None:
    """Return the step that a checkpoint tells, reading no tensor; None where it cannot be read."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        step = content["global_step"]
    except Exception as error:  # noqa: BLE001, torch raises anything; who loads it says more
        logger.debug("%s: no step can be read (%s)", path, error)
        return None
    return step if isinstance(step, int) else None


def _best_step(folder: Path) -> int | None:
    """Return the step of `best.ckpt` as its record tells; None where there is none."""
    try:
        record = json.loads((folder / BEST).with_suffix(".json").read_bytes())
        return int(record["step"]) if (folder / BEST).is_file() else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _new_folder(folder: Path) -> Path:
    """Make the first of `aside`, `aside-2`, ... that is not there."""
    number = 1
    while True:
        target = folder / (ASIDE if number == 1 else f"{ASIDE}-{number}")
        try:
            target.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return target
