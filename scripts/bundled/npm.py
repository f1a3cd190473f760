"""The package `supersonic-scsynth-samples` of npm: Sonic Pi's recordings, all CC0.

Its PROVENANCE.md names the page or the giver of each.
"""

import base64
import hashlib
import io
import re
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import unquote

from stable_audio_open.audio.paths import SUFFIXES
from stable_audio_open.curation.catalogue.ingest import SourceRow
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.sources.folder import checked_info

PACKAGE = "supersonic-scsynth-samples"
VERSION = "0.84.2"
ADDRESS = f"https://registry.npmjs.org/{PACKAGE}/-/{PACKAGE}-{VERSION}.tgz"
INTEGRITY = (
    "XWq1FU3+LQWfnKgf9XGO7Z3SB9Q3H9aFW6ThTjWD0YsThKrJCjyMIO9rMbryXlEe9+UxyvB21SKmJJBXlSZjCw=="
)
"""SHA-512 of the archive in Base64, as the registry gives it."""
PROVENANCE = "PROVENANCE.md"
PAGE = f"https://www.npmjs.com/package/{PACKAGE}"
CC0 = "http://creativecommons.org/publicdomain/zero/1.0/"
ENTRY = re.compile(r"^\* `:?(?P<name>\w+)`\s*-\s*(?P<said>.+)$")
USER = re.compile(r"(?P<url>https?://\S+?/people/(?P<user>[^/]+)/sounds/\d+/?)", re.IGNORECASE)
GIVER = re.compile(r"Donated by (?P<giver>.+?) under a CC0 license")


class Origin(NamedTuple):
    """Where a sound comes from."""

    author: str
    page: str


def fetch(folder: Path, address: str = ADDRESS, integrity: str = INTEGRITY) -> None:
    """Fetch the package into `folder / PACKAGE`, where it is not there.

    Raises:
        ValueError: What was fetched is another archive.
        OSError: It cannot be fetched or written.
    """
    root = folder / PACKAGE
    if root.exists():
        return
    with urllib.request.urlopen(address, timeout=60) as answer:
        content = answer.read()
    found = base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != integrity:
        raise ValueError(f"{address}: its SHA-512 is {found}, not {integrity}; fetch it again")
    folder.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(prefix=f".{PACKAGE}-", dir=folder) as temporary,
        tarfile.open(fileobj=io.BytesIO(content)) as tar,
    ):
        for member in tar:
            path = PurePosixPath(member.name)
            if member.isfile() and (path.suffix in SUFFIXES or path.name == PROVENANCE):
                tar.extract(member, temporary, filter="data")
        (Path(temporary) / "package").rename(root)


def read_npm(folder: Path) -> Iterator[SourceRow]:
    """Yield a row for each recording; without a word about its origin it is a reject.

    Raises:
        OSError: A file cannot be read.
    """
    root = folder / PACKAGE
    origins = _origins((root / PROVENANCE).read_text(encoding="utf-8"))
    files = sorted(path for path in root.rglob("*") if path.suffix in SUFFIXES)
    for position, path in enumerate(files, start=1):
        file = path.relative_to(folder).as_posix()
        origin = origins.get(_key(path.stem))
        record, reason = None, f"{PROVENANCE} does not say where it comes from"
        if origin is not None:
            try:
                record, reason = _record(path, file, origin), ""
            except (ValueError, OSError) as error:
                reason = str(error)
        yield SourceRow(source=str(root), position=position, raw=file, record=record, reason=reason)


def _record(path: Path, file: str, origin: Origin) -> CatalogueRecord:
    info = checked_info(path)
    return CatalogueRecord(
        id=f"npm:{file}",
        title=path.stem,
        licence=CC0,
        author=origin.author,
        page_url=origin.page,
        file=file,
        duration=info.duration,
        sample_rate=info.sample_rate,
        channels=info.channels,
    )


def _origins(text: str) -> dict[str, Origin]:
    found = {}
    for entry in filter(None, map(ENTRY.match, text.splitlines())):
        if user := USER.search(entry["said"]):
            found[_key(entry["name"])] = Origin(unquote(user["user"]), user["url"])
        elif giver := GIVER.search(entry["said"]):
            found[_key(entry["name"])] = Origin(giver["giver"], PAGE)
    return found


def _key(name: str) -> str:
    """What the list and the files agree on: it says `perc_bell_2` for perc_bell2.flac."""
    return name.replace("_", "").lower()
