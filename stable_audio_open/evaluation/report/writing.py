"""The report's three files."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from stable_audio_open.evaluation.report.markdown import markdown
from stable_audio_open.evaluation.report.page import page
from stable_audio_open.evaluation.report.tables import ReportedRun, ReportTable, tables
from stable_audio_open.files.atomic import replace_bytes

NAME = "report"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What `report.json` holds."""

    tables: tuple[ReportTable, ...]
    runs: tuple[ReportedRun, ...]


def write_report(folder: Path, runs: Sequence[ReportedRun], *, players: int) -> list[Path]:
    """Write `report.md`, `report.json` and `report.html` into a folder, and return their paths.

    Args:
        folder: Created where it does not exist.
        runs: Ours.
        players: Files of each run that can be heard on the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = tables(runs)
    report = msgspec.json.encode(Report(tables=tuple(found), runs=tuple(runs)))
    contents = {
        ".md": markdown(found, runs).encode(),
        ".json": msgspec.json.format(report) + b"\n",
        ".html": page(found, runs, folder=folder, players=players).encode(),
    }
    paths = [folder / f"{NAME}{suffix}" for suffix in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        replace_bytes(path, content)
    return paths
