"""The sheet on which a person listens to what waits, and decides."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

from stable_audio_open.curation.catalogue.decisions import Decision
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.review.table import FILLED, OpenCase
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.pages.rendering import render


class ShownCase(NamedTuple):
    """A recording that waits, as the page shows it."""

    record: CatalogueRecord
    reasons: tuple[Decision, ...]
    page: str | None
    """Address of the recording's page on the web."""
    audio: str | None
    """Address of the recording."""


def write_page(path: Path, cases: Sequence[OpenCase], *, audio: Path | None) -> None:
    """Write an HTML file that needs nothing but the recordings.

    Its button saves the verdicts as a table that `read_answers` reads. Whatever comes from the
    catalogue is escaped.

    Args:
        path: File of the page.
        cases: What waits.
        audio: Folder of the recordings, which the players find relative to the page; no players
            when None.
    """
    page = render(
        "review.html.jinja",
        title="Review",
        cases=[_shown(case, path.parent, audio) for case in cases],
        columns=FILLED,
    )
    replace_bytes(path, page.encode())


def _shown(case: OpenCase, folder: Path, audio: Path | None) -> ShownCase:
    url, file, address = case.record.page_url, case.record.file, None
    if file is not None and audio is not None:
        relative = Path(os.path.relpath(audio.resolve() / file, folder.resolve()))
        address = quote(relative.as_posix())
    return ShownCase(
        record=case.record,
        reasons=case.reasons,
        page=url if url and urlsplit(url).scheme in ("http", "https") else None,
        audio=address,
    )
