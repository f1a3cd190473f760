"""What is written inside audio files: ID3 (MP3, WAV, AIFF) and Vorbis comments (FLAC, Ogg)."""

import re
import struct
from pathlib import Path
from typing import Any

import msgspec

LICENCE_URL = re.compile(r"https?://(?:www\.)?creativecommons\.org/\S+")
PLAYERS_OWN = "iTun"
"""Comments in which a player keeps its numbers."""
YEAR = re.compile(r"(?!0000)[0-9]{4}")
BROKEN = (ValueError, LookupError, TypeError, AttributeError, EOFError, OverflowError, struct.error)
"""What mutagen raises, beside its own errors, for tags that are no tags."""

VORBIS = {
    "title": ("title",),
    "description": ("description", "comment"),
    "tags": ("tags", "keywords"),
    "genres": ("genre",),
    "album": ("album",),
    "artist": ("artist",),
    "year": ("date", "year"),
    "licence": ("license", "licence", "copyright"),
    "author": ("author", "artist"),
    "page_url": ("contact", "url", "website"),
}
ID3 = {
    "title": ("TIT2",),
    "description": ("TXXX:description", "COMM"),
    "tags": ("TXXX:tags", "TXXX:keywords"),
    "genres": ("TCON",),
    "album": ("TALB",),
    "artist": ("TPE1",),
    "year": ("TDRC", "TYER"),
    "licence": ("WCOP", "TXXX:LICENSE", "TXXX:license", "TCOP"),
    "author": ("TXXX:author", "TPE1"),
    "page_url": ("WOAF", "WOAS", "WXXX"),
}


class EmbeddedTags(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of a record that a person fills in; also the shape of a sidecar."""

    title: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()
    genres: tuple[str, ...] = ()
    album: str | None = None
    artist: str | None = None
    year: int | None = None
    licence: str | None = None
    author: str | None = None
    page_url: str | None = None


def read_tags(path: Path) -> EmbeddedTags:
    """Return what the tags of a file say; nothing where it has none.

    Args:
        path: FLAC, Ogg, MP3, WAV or AIFF. Of a copyright notice only a Creative Commons URL counts.

    Raises:
        ValueError: The tags cannot be read.
    """
    import mutagen
    from mutagen.id3 import ID3 as Frames

    try:
        opened = mutagen.File(path)
        if opened is None or not opened.tags:
            return EmbeddedTags()
        tags = opened.tags
        if isinstance(tags, Frames):
            found = {field: _frames(tags, names) for field, names in ID3.items()}
        else:
            found = {field: _comments(tags, names) for field, names in VORBIS.items()}
        return _described(found)
    except (mutagen.MutagenError, *BROKEN) as error:
        raise ValueError(f"its tags cannot be read ({error})") from error


def _frames(tags: Any, names: tuple[str, ...]) -> list[str]:
    """Return the texts of the first frame that is there."""
    for name in names:
        for frame in tags.getall(name):
            if getattr(frame, "desc", "").startswith(PLAYERS_OWN):
                continue
            texts = getattr(frame, "genres", None) or getattr(frame, "text", None)
            texts = [frame.url] if texts is None else texts
            if shown := [str(text) for text in texts if str(text).strip()]:
                return shown
    return []


def _comments(tags: Any, names: tuple[str, ...]) -> list[str]:
    for name in names:
        if shown := [text for text in tags.get(name, []) if text.strip()]:
            return list(shown)
    return []


def _described(found: dict[str, list[str]]) -> EmbeddedTags:
    single = {
        name: texts[0]
        for name, texts in found.items()
        if texts and name not in ("tags", "genres", "year", "licence")
    }
    year = YEAR.search(" ".join(found["year"]))
    return EmbeddedTags(
        tags=tuple(word.strip() for text in found["tags"] for word in text.split(",")),
        genres=tuple(found["genres"]),
        year=int(year[0]) if year else None,
        licence=_licence(found["licence"]),
        **single,
    )


def _licence(texts: list[str]) -> str | None:
    """Return the URL of a notice such as `2019 Ann, licensed under http://...`, or all of it."""
    if not texts:
        return None
    url = LICENCE_URL.search(texts[0])
    return url[0].rstrip(".,;)") if url else texts[0]
