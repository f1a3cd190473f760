"""A line of a manifest and the index of shards: what curation writes and training reads."""

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from stable_audio_open.arguments.nearest import nearest

INDEX = "index.json"
"""Name of the index of a set of shards."""

MEASURED = ("seconds", "sample_rate", "channels")
"""Fields of other names that sets have: what a recording's header says, so that nobody need open
half a million files to know their lengths."""


class ManifestLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recording, its description and where it comes from; None where it is not known."""

    file: str
    """Path relative to the folder of the recordings, with forward slashes."""
    caption: str | None = None
    """Description of the sound."""
    tags: tuple[str, ...] = ()
    """Words or short phrases."""
    captions: tuple[str, ...] | UnsetType = UNSET
    """Several descriptions, instead of `caption`, which then is the first; UNSET where there is
    one."""
    family: str | None = None
    """Group that evaluation compares within, such as `bd` or `loop`."""
    title: str | None = None
    """Name given by the author."""
    description: str | None = None
    """What the author says about it."""
    genres: tuple[str, ...] = ()
    """Names of genres."""
    album: str | None = None
    """Album, where it is a track of one."""
    artist: str | None = None
    """Performer."""
    year: int | None = None
    """Year of the release or the recording."""
    source: str | None = None
    """Identifier in the catalogue it was taken from, such as `freesound:4832`."""
    author: str | None = None
    """Who made it."""
    licence: str | None = None
    """URL of the licence."""
    page_url: str | None = None
    """Page that shows author and licence."""
    other: dict[str, Any] | UnsetType = UNSET
    """Fields of other names, such as a number that a model is conditioned on; UNSET where there
    are none."""

    def __post_init__(self) -> None:
        """Check that each of several captions says something, and that `caption` is the first.

        Raises:
            ValueError: When they are empty, or `caption` is another.
        """
        if isinstance(self.captions, UnsetType):
            return
        if not self.captions or not all(text.strip() for text in self.captions):
            raise ValueError(
                f"captions are {list(self.captions)!r}; give at least one, and none that is empty"
            )
        if self.caption != self.captions[0]:
            raise ValueError(
                f"caption is {self.caption!r}, and the first of captions {self.captions[0]!r}; "
                "caption must be the first"
            )

    def known(self) -> dict[str, object]:
        """Return the fields as they are written: without those that say nothing."""
        said = msgspec.structs.asdict(self)
        other = said.pop("other")
        # A line has either; the first of several is the caption again when it is read.
        said.pop("captions" if said["captions"] is UNSET else "caption")
        known = {name: value for name, value in said.items() if value is not None and value != ()}
        return known if other is UNSET else known | other

    def value(self, name: str) -> Any:
        """Return a field of any name, None where the line has none."""
        if name != "other" and name in self.__struct_fields__:
            return getattr(self, name)
        return None if isinstance(self.other, UnsetType) else self.other.get(name)


Line = TypeVar("Line", bound=ManifestLine)


def decode_line(text: bytes, kind: type[Line]) -> Line:
    """Read a line; fields of other names are kept, and the first of several captions is one.

    Raises:
        msgspec.DecodeError: It is no JSON object, a field is missing or of another type, or it has
            both a caption and several.
        UnicodeDecodeError: It is not UTF-8.
        RecursionError: It is nested too deeply.
    """
    value = msgspec.json.decode(text)
    if isinstance(value, dict):
        names = _names(kind)
        if other := {name: part for name, part in value.items() if name not in names}:
            value = {name: part for name, part in value.items() if name in names} | {"other": other}
        value = _with_first_caption(value)
    return msgspec.convert(value, kind)


def _with_first_caption(line: dict[str, Any]) -> dict[str, Any]:
    captions = line.get("captions")
    if captions is None and "captions" not in line:
        return line
    if line.get("caption") is not None:
        raise msgspec.ValidationError(
            "has both caption and captions; give one of them, captions where there are several"
        )
    # Of another type, or empty: refused with its place when it is converted.
    first = captions[0] if isinstance(captions, list) and captions else ""
    return line | {"caption": first if isinstance(first, str) else ""}


def other_fields(lines: Iterable[ManifestLine]) -> list[str]:
    """Return the names of fields that are not ours, each with ours that is most like it."""
    found: dict[str, None] = {}
    for line in lines:
        if not isinstance(line.other, UnsetType):
            found |= dict.fromkeys(name for name in line.other if name not in MEASURED)
    return [f'"{name}"{_nearest(name)}' for name in found]


def _names(kind: type[ManifestLine]) -> Collection[str]:
    return [name for name in kind.__struct_fields__ if name != "other"]


def _nearest(name: str) -> str:
    # Higher than elsewhere: such fields may well be others' own.
    near = nearest(name, _names(ManifestLine), similar=0.75)
    return f' (did you mean "{near}"?)' if near else ""


class SetShard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tar of recordings: KEY.flac and KEY.json of each."""

    file: str
    """Name in the folder."""
    sha256: str
    """SHA-256 of its bytes."""
    bytes: int
    """Size."""
    recordings: int
    """How many it holds."""


class SetIndex(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All shards of a set of recordings."""

    recordings: int
    """Recordings in all."""
    shards: tuple[SetShard, ...]
    """Shards in their order."""
