"""What a session has made: settings to be used again, and files to be taken along."""

import zipfile
from pathlib import Path
from typing import Any, NamedTuple

from stable_audio_open.service.problems import ServiceError
from stable_audio_open.service.results import Format
from stable_audio_open.service.service import Service

MOST = 50
"""Sounds that are listed, the newest first."""


class Made(NamedTuple):
    """A sound of the session."""

    job: str
    tab: str
    """Name of the form."""
    values: dict[str, Any]
    """What stood in it."""
    words: str
    """How it is listed: text alone."""


def listed(history: list[Made]) -> list[tuple[str, str]]:
    """Return words and id of each sound, the newest first."""
    return [(one.words, one.job) for one in reversed(history[-MOST:])]


def files_of(service: Service, history: list[Made], *, client: str, format: Format) -> list[Path]:
    """Return the files of all sounds that are still kept."""
    found = []
    for one in history:
        try:
            found.append(service.result(one.job, client=client, format=format))
        except ServiceError:  # expired
            continue
    return found


def zip_of(service: Service, history: list[Made], *, client: str) -> Path | None:
    """Return an archive of all sounds that are still kept; None where there is none.

    It lies beside the newest of them, with which it expires.
    """
    files = files_of(service, history, client=client, format="wav")
    if not files:
        return None
    path = files[-1].parent / "sounds.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number, file in enumerate(files, start=1):
            archive.write(file, f"{number:02d}.wav")
    return path
