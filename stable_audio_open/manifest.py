"""A line of a manifest and the index of shards: what curation writes and training reads."""

import msgspec

INDEX = "index.json"
"""Name of the index of a set of shards."""


class ManifestLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recording, its description and where it comes from; None where it is not known."""

    file: str
    """Path relative to the folder of the recordings, with forward slashes."""
    caption: str | None = None
    """Description of the sound."""
    tags: tuple[str, ...] = ()
    """Words or short phrases."""
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

    def known(self) -> dict[str, object]:
        """Return the fields as they are written: without those that say nothing."""
        return {
            name: value
            for name, value in msgspec.structs.asdict(self).items()
            if value is not None and value != ()
        }


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
