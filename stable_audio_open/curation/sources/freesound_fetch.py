"""A search of Freesound fetched page by page, with its recordings; goes on where it stopped."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Literal

import msgspec

from stable_audio_open.curation.sources.freesound_api import (
    FreesoundClient,
    KeyRefusedError,
    Search,
)
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.json_lines import NOT_JSON

STATE, PAGES, AUDIO, FAILURES = "fetch.json", "pages", "audio", "failures.jsonl"
PREVIEW = "preview-hq-mp3"
ENDINGS = ("aif", "aiff", "flac", "m4a", "mp3", "ogg", "wav")
"""Kinds of files that the site takes."""
MOST_FAULTS_IN_A_ROW = 3
"""Recordings that cannot be had one after the other until the server counts as gone."""

Audio = Literal["previews", "originals"]


class State(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a folder holds the pages of; how far it is, its pages tell."""

    server: str
    search: Search


class Page(msgspec.Struct, frozen=True):
    """A list reply."""

    results: list[dict[str, Any]]
    next: str | None


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `failures.jsonl`: a recording that could not be fetched."""

    id: str
    reason: str


def fetch_pages(
    client: FreesoundClient,
    search: Search,
    folder: Path,
    *,
    most: int | None = None,
    report: Callable[[int], None] = lambda _: None,
) -> int:
    """Fetch the pages of a search that are not there yet, each in one step.

    Args:
        client: Client of the server.
        search: The same as before, where the folder holds pages.
        folder: Pages go to `folder/pages/page-NNNNN.json`, as the server wrote them.
        most: Pages in all; None for as many as there are.
        report: Called with the number of each page fetched.

    Returns:
        How many pages there are now.

    Raises:
        ValueError: The folder is of another search, a page is damaged, or the server refuses.
        ConnectionError: The server does not answer.
    """
    _claim(folder, State(server=client.server, search=search))
    (folder / PAGES).mkdir(exist_ok=True)
    for number in count(1):
        path = _path(folder, number)
        if path.is_file():
            page = _read(path.read_bytes(), str(path))
        else:
            data = client.search_page(search, number)
            page = _read(data, f"{client.server}, page {number}")
            replace_bytes(path, data)
            report(number)
        if page.next is None or number == most:
            return number
        if not page.results:
            raise ValueError(f"{path}: has no sounds, but a next page; remove it to ask again")
    raise AssertionError("counting ended")


def fetch_audio(
    client: FreesoundClient,
    folder: Path,
    kind: Audio,
    *,
    pages: int,
    report: Callable[[Path], None] = lambda _: None,
) -> tuple[int, list[Failure]]:
    """Fetch the recordings of the pages that are not there yet.

    A recording that the server refuses, has not, or does not send, is a failure and no reason to
    stop.

    Args:
        client: Client of the server; its token is needed for originals.
        folder: Recordings go to `folder/audio/NUMBER.mp3`, originals with their own ending.
        kind: Previews are MP3 files at the API's higher quality.
        pages: Number of pages to read.
        report: Called with each file fetched.

    Returns:
        How many recordings are there now, and the failures, which `folder/failures.jsonl` has too.

    Raises:
        KeyRefusedError: The server does not take the token.
        ConnectionError: The server does not answer for three recordings in a row.
    """
    (folder / AUDIO).mkdir(exist_ok=True)
    there, failures, in_a_row = 0, list[Failure](), 0
    try:
        for sound in _sounds(folder, pages):
            try:
                if path := _fetch_one(client, sound, folder / AUDIO, kind):
                    report(path)
                    in_a_row = 0
                there += 1
            except KeyRefusedError:
                raise
            except (ValueError, ConnectionError) as error:
                name = f"freesound:{sound.get('id')}"[:100]
                failures.append(Failure(id=name, reason=str(error)))
                in_a_row = in_a_row + 1 if isinstance(error, ConnectionError) else 0
                if in_a_row == MOST_FAULTS_IN_A_ROW:
                    raise
    finally:
        lines = (msgspec.json.encode(failure) + b"\n" for failure in failures)
        replace_bytes(folder / FAILURES, b"".join(lines))
    return there, failures


def _fetch_one(
    client: FreesoundClient, sound: dict[str, Any], folder: Path, kind: Audio
) -> Path | None:
    """Return the file that was fetched; None when it was there."""
    number = sound.get("id")
    if type(number) is not int or not 0 < number < 1 << 63:
        raise ValueError(f"id is {number!r}; a sound of Freesound has a number")
    if kind == "previews":
        path = folder / f"{number}.mp3"
        previews = sound.get("previews")
        url = previews.get(PREVIEW) if isinstance(previews, dict) else None
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            raise ValueError(f"{PREVIEW} is {url!r}; the reply must give its URL")
        if path.is_file():
            return None
        client.download_preview(url, path)
        return path
    ending, size = sound.get("type"), sound.get("filesize")
    if ending not in ENDINGS:
        raise ValueError(f"type is {ending!r}; it must be one of {', '.join(ENDINGS)}")
    size = size if type(size) is int and size > 0 else None
    path = folder / f"{number}.{ending}"
    if path.is_file() and size in (None, path.stat().st_size):
        return None
    client.download_original(number, path, size)
    return path


def _claim(folder: Path, state: State) -> None:
    """Remember the search, or compare it with the one that the folder is of."""
    path = folder / STATE
    folder.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        replace_bytes(path, msgspec.json.encode(state) + b"\n")
        return
    try:
        before = msgspec.json.decode(path.read_bytes(), type=State)
    except NOT_JSON as error:
        raise ValueError(f"{path}: not the state of a fetch ({error}); remove it") from error
    if before != state:
        raise ValueError(
            f"{path}: this folder is of another search ({before.search.query!r}, filter "
            f"{before.search.filter!r}, {before.search.page_size} a page, from {before.server}); "
            "give the same again or another --output"
        )


def _sounds(folder: Path, pages: int) -> Iterator[dict[str, Any]]:
    for number in range(1, pages + 1):
        path = _path(folder, number)
        yield from _read(path.read_bytes(), str(path)).results


def _path(folder: Path, number: int) -> Path:
    return folder / PAGES / f"page-{number:05d}.json"


def _read(data: bytes, where: str) -> Page:
    try:
        return msgspec.json.decode(data, type=Page)
    except NOT_JSON as error:
        raise ValueError(f"{where}: not a list reply of the API ({error})") from error
