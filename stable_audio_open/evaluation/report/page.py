"""The report as an HTML page on which some of the files can be heard."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from stable_audio_open.evaluation.generations.sets import SetFile
from stable_audio_open.evaluation.report.markdown import describe, heading, name, number
from stable_audio_open.evaluation.report.tables import ReportedRun, ReportTable
from stable_audio_open.pages.rendering import render


class Sound(NamedTuple):
    """A file that can be heard."""

    name: str
    address: str


class Heard(NamedTuple):
    """Files of a run that can be heard."""

    title: str
    kind: str
    sounds: list[Sound]


def page(
    tables: Sequence[ReportTable], runs: Sequence[ReportedRun], *, folder: Path, players: int
) -> str:
    """Return a page that needs nothing but the audio files.

    Args:
        tables: All.
        runs: Those whose files can be heard.
        folder: Folder of the page; players find the files relative to it.
        players: For each run, so many of its files, evenly spread over it.
    """
    heard = [_heard(run, folder, players) for run in runs]
    return render(
        "evaluation.html.jinja",
        title="Evaluation",
        runs=[describe(run) for run in runs],
        tables=tables,
        heading=heading,
        name=name,
        number=number,
        heard=[run for run in heard if run.sounds],
    )


def spread(items: Sequence[SetFile], count: int) -> list[SetFile]:
    """Return at most `count` items, evenly spread and with the first one."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def _heard(run: ReportedRun, folder: Path, count: int) -> Heard:
    return Heard(
        title=f"{run.model}: {run.kind}s for {run.settings.protocol}",
        kind=run.kind,
        sounds=[
            Sound(item.prompt or item.clip, _address(Path(run.folder) / item.file, folder))
            for item in spread(run.items, count)
        ],
    )


def _address(file: Path, folder: Path) -> str:
    return quote(Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix())
