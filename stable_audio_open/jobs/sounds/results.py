"""What became of each row: `results.jsonl`, from which an interrupted run goes on."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec.structs import replace

from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.json_lines import append_json_lines, read_json_lines

RESULTS = "results.jsonl"
OF_OTHERS = "results.{rank}.jsonl"
"""Results of the process of each rank but the first, until all are done."""


class Result(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line: a row that was made, or why it was not."""

    row: int
    """Place among the rows of the table, from 0."""
    line: int
    """Line of the table."""
    status: Literal["done", "failed"]
    settings: str
    """Hash of all that the row's samples and files depend on; empty where it cannot be read."""
    prompt: str = ""
    """What was asked for."""
    files: tuple[str, ...] = ()
    """Files, relative to the folder."""
    seeds: tuple[int, ...] = ()
    """Seed of each file."""
    seconds: tuple[float, ...] = ()
    """Length of each file."""
    error: str = ""
    """Why it failed."""


def settings_hash(values: Mapping[str, Any], made_by: Mapping[str, Any]) -> str:
    """Return 16 digits of SHA-256 over what a row asks for, and of whom."""
    text = json.dumps([values, made_by], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def part_of(output: Path, rank: int) -> Path:
    """Return the file that a process appends its results to."""
    return output / (RESULTS if rank == 0 else OF_OTHERS.format(rank=rank))


def append_result(path: Path, result: Result) -> None:
    """Append a line.

    Raises:
        OSError: It cannot be written; the file is as before.
    """
    append_json_lines(path, [result])


def read_results(output: Path) -> list[Result]:
    """Return all lines of a folder, those of processes that were killed too.

    A line whose file a later one has replaced (`--overwrite`) is left out.

    Raises:
        ValueError: One is no result.
    """
    paths = [output / RESULTS, *_parts(output)]
    lines = [line for path in paths for line in _read(path)]
    owners = {name: line for line in lines if line.status == "done" for name in line.files}
    return [line for line in lines if all(owners.get(name, line) is line for name in line.files)]


def gather_results(output: Path, rows: Sequence[tuple[str, int]]) -> None:
    """Make `results.jsonl` hold a line per row of the table, then those of other tables' files.

    Args:
        output: The folder.
        rows: `settings` of each row, which may be empty, and its line.
    """
    results = read_results(output)
    latest = _latest(results, output)
    done = done_rows([settings for settings, _ in rows], results, output)
    own = []
    for index, (settings, line) in enumerate(rows):
        found = done.get(index, latest.get((index, settings)))
        if found is not None:
            own.append(replace(found, row=index, line=line))
    taken = {(one.row, one.settings) for one in done.values()}
    rest = [one for key, one in latest.items() if key not in taken and is_there(one, output)]
    content = b"".join(msgspec.json.encode(line) + b"\n" for line in [*own, *rest])
    replace_bytes(output / RESULTS, content)
    for path in _parts(output):
        path.unlink(missing_ok=True)


def done_rows(hashes: Sequence[str], results: Iterable[Result], output: Path) -> dict[int, Result]:
    """Return the rows that are done: each by a result of its settings whose files are there.

    A row that has moved in the table is found by its settings; rows of the same settings need a
    result each.

    Args:
        hashes: `settings` of each row, empty where it is not to be looked for.
        results: The lines so far.
        output: Folder of the files.
    """
    found: defaultdict[str, list[Result]] = defaultdict(list)
    for line in _latest(results, output).values():
        if is_there(line, output):
            found[line.settings].append(line)
    done: dict[int, Result] = {}
    # Those that stand where they stood come first.
    for index, digest in enumerate(hashes):
        for line in found.get(digest, ()):
            if line.row == index:
                found[digest].remove(line)
                done[index] = line
                break
    for index, digest in enumerate(hashes):
        if index not in done and found.get(digest):
            done[index] = found[digest].pop(0)
    return done


def is_there(line: Result, output: Path) -> bool:
    """Return whether a row was made, and all its files are in the folder."""
    return line.status == "done" and all((output / name).is_file() for name in line.files)


def _latest(results: Iterable[Result], output: Path) -> dict[tuple[int, str], Result]:
    """Return the last line of each row and its settings; one that was made counts before others."""
    latest: dict[tuple[int, str], Result] = {}
    for line in results:
        key = (line.row, line.settings)
        if key not in latest or is_there(line, output) or not is_there(latest[key], output):
            latest[key] = line
    return latest


def _parts(output: Path) -> list[Path]:
    return sorted(output.glob(OF_OTHERS.format(rank="*")))


def _read(path: Path) -> list[Result]:
    return read_json_lines(
        path,
        Result,
        what="a result",
        remedy="move the file away to make all sounds again",
        appended=True,
    )
