"""What a catalogue says of a recording."""

import msgspec


class CatalogueRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One recording of a catalogue, whatever catalogue it is; None where it is not known."""

    id: str
    """Identifier with its catalogue, such as `freesound:4832`, `fma:1105` or `folder:kick.wav`."""
    title: str | None = None
    """Name given by the author."""
    description: str | None = None
    """What the author says about it."""
    caption: str | None = None
    """What a listener would say, where a manifest gives it."""
    captions: tuple[str, ...] | None = None
    """Several of them, the first of which is `caption`, where a manifest gives several."""
    tags: tuple[str, ...] = ()
    """Words or short phrases, in the author's order."""
    genres: tuple[str, ...] = ()
    """Names of genres, the most general first."""
    album: str | None = None
    """Album, where it is a track of one."""
    artist: str | None = None
    """Performer, where the catalogue tells one from the author."""
    family: str | None = None
    """Group that evaluation compares within, where a manifest names one."""
    year: int | None = None
    """Year of the release or the recording."""
    licence: str | None = None
    """Licence as the catalogue gives it: a URL or a title."""
    author: str | None = None
    """Who is to be named: user name or artist."""
    page_url: str | None = None
    """Page that shows author and licence."""
    file: str | None = None
    """Path of the audio, relative to the folder of the recordings, with forward slashes."""
    duration: float | None = None
    """Seconds."""
    sample_rate: int | None = None
    """Samples per second of the original."""
    channels: int | None = None
    """Channels of the original."""

    @property
    def catalogue(self) -> str:
        """What stands before the colon of the identifier."""
        return self.id.partition(":")[0]
