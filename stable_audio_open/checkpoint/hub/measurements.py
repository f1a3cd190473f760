"""Figures of `evaluate` as a model's card shows them."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.config.values.json_text import parse_json

OF_EACH_RECORDING = ("per_file", "contributions")
"""Fields of results that are too long for a card."""
PATHS = ("audio", "reference", "model")
"""Fields of results that may be paths on somebody's disk, of which a card has the last part."""
RESULTS = "results"
"""Folder of a protocol's figures, beside which it keeps their reports."""


class Measured(NamedTuple):
    """The figures of one file."""

    title: str
    definition: str
    """What was measured, in words; empty where the file does not say."""
    rows: tuple[tuple[str, str], ...]
    """Names and values."""


def read_measurements(paths: Iterable[Path]) -> list[Measured]:
    """Read files of figures, and all such files of folders, in the order of their names.

    Args:
        paths: JSON files, such as those of `evaluate ... --output`; folders of them, such as that
            of `evaluate protocol`. Files in a folder that hold no figures are passed over.

    Raises:
        CheckpointError: A path is missing, or holds no figures.
        ConfigError: A file is no JSON.
    """
    found = []
    for path in paths:
        if not path.exists():
            raise CheckpointError(f"{path}: no such file or folder of measurements")
        inside = path / RESULTS if (path / RESULTS).is_dir() else path
        files = sorted(inside.rglob("*.json")) if path.is_dir() else [path]
        measured = [(file, _measured(file, inside)) for file in files]
        if not any(one.rows for _, one in measured):
            raise CheckpointError(
                f"{path}: holds no figures; allowed: JSON as `evaluate` writes it, or a folder of "
                "it"
            )
        found += [one for _, one in measured if one.rows]
    return found


def _measured(file: Path, above: Path) -> Measured:
    """Return the figures of a file; no rows where it has none."""
    value = parse_json(file.read_bytes(), source=str(file))
    title = file.stem if file == above else str(file.relative_to(above).with_suffix(""))
    if not isinstance(value, dict):
        return Measured(title, "", ())
    definition = value.pop("definition", "")
    rows = tuple(_rows(value, ""))
    if not any(_is_number(one) for _, one in rows):
        return Measured(title, "", ())
    return Measured(title, str(definition), tuple((name, _shown(one)) for name, one in rows))


def _rows(value: dict[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    """Yield names and values, without lists and what is of each recording."""
    for name, one in value.items():
        if isinstance(one, dict) and name not in OF_EACH_RECORDING:
            yield from _rows(one, f"{before}{name}, ")
        elif isinstance(one, str) and name in PATHS:
            yield before + name, PurePath(one).name
        elif isinstance(one, str) or _is_number(one):
            yield before + name, one


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.6g}" if value % 1 else f"{int(value):,}"
