"""Freesound's metadata: replies of its API, JSON lines of sounds, and FSD50K's clips_info."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from stable_audio_open.curation.catalogue.ingest import SourceRow
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.files.pipes_and_devices import refuse_special
from stable_audio_open.files.text import MARK, text_lines

SITE = "https://freesound.org"
SUFFIXES = (".json", ".jsonl", ".ndjson")


class FreesoundSound(msgspec.Struct, frozen=True):
    """A sound object of the API or of FSD50K; what is not used here is passed over."""

    id: int | str | None = None
    name: str | None = None
    title: str | None = None
    description: str | None = None
    tags: tuple[str, ...] | None = None
    license: str | None = None
    username: str | None = None
    uploader: str | None = None
    url: str | None = None
    duration: float | None = None
    samplerate: float | None = None
    channels: int | None = None
    results: tuple[msgspec.Raw, ...] | None = None
    """The sounds of a list reply."""


SOUND = msgspec.json.Decoder(FreesoundSound)
OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
LIST = msgspec.json.Decoder(list[msgspec.Raw])


def read_freesound(source: Path) -> Iterator[SourceRow]:
    """Yield the sounds of a file, or of all JSON files of a folder in order of their names.

    Args:
        source: JSON lines (read line by line), a list reply, a list, or `{id: sound}` as in FSD50K
            (each read as a whole).

    Raises:
        OSError: The source cannot be read.
        ValueError: A folder without JSON files.
    """
    if not source.is_dir():
        yield from _read_file(source)
        return
    files = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES)
    if not files:
        raise ValueError(f"{source}: holds no file *{', *'.join(SUFFIXES)}")
    for path in files:
        yield from _read_file(path)


def _read_file(path: Path) -> Iterator[SourceRow]:
    refuse_special(path)
    if path.suffix.lower() != ".json" or _has_objects_in_lines(path):
        yield from _read_lines(path)
    else:
        yield from _read_document(path)


def _has_objects_in_lines(path: Path) -> bool:
    """Whether one of the first two lines is an object by itself, and not of a list or alone."""
    with path.open("rb") as file:
        first, second = file.readline().removeprefix(MARK), file.readline()
    if first.lstrip().startswith(b"[") or not second.strip():
        return False
    return _is_object(first) or _is_object(second)


def _is_object(line: bytes) -> bool:
    try:
        OBJECT.decode(line)
    except NOT_JSON:
        return False
    return True


def _read_lines(path: Path) -> Iterator[SourceRow]:
    for number, line in text_lines(path):
        yield from _read_sound(path, number, line)


def _read_document(path: Path) -> Iterator[SourceRow]:
    data = path.read_bytes().removeprefix(MARK)
    try:
        if data.lstrip().startswith(b"["):
            sounds = enumerate(LIST.decode(data), start=1)
            for number, sound in sounds:
                yield from _read_sound(path, number, bytes(sound))
            return
        fields = OBJECT.decode(data)
    except NOT_JSON as error:
        yield SourceRow(source=str(path), position=1, raw=data, reason=f"not JSON: {error}")
        return
    if fields and all(name.isdecimal() and name.isascii() for name in fields):
        for number, (name, sound) in enumerate(fields.items(), start=1):
            yield from _read_sound(path, number, bytes(sound), name)
    else:
        yield from _read_sound(path, 1, data)


def _read_sound(
    path: Path, number: int, raw: bytes, name: str | None = None
) -> Iterator[SourceRow]:
    """Yield one sound, or those of a list reply."""
    shown = raw if name is None else f'"{name}": '.encode() + raw
    try:
        sound = SOUND.decode(raw)
        if sound.results is None:
            record = _record(sound, sound.id if name is None else name)
            yield SourceRow(source=str(path), position=number, raw=shown, record=record)
            return
    except (*NOT_JSON, ValueError) as error:
        yield SourceRow(source=str(path), position=number, raw=shown, reason=str(error))
        return
    for place, result in enumerate(sound.results, start=1):
        yield from _read_sound(path, place, bytes(result))


def _record(sound: FreesoundSound, name: int | str | None) -> CatalogueRecord:
    digits = str(name)
    if not (digits.isascii() and digits.isdecimal()):
        raise ValueError(f"id is {name!r}; a sound of Freesound has a number")
    return CatalogueRecord(
        id=f"freesound:{int(digits)}",
        title=sound.name or sound.title,
        description=sound.description,
        tags=sound.tags or (),
        licence=sound.license,
        author=sound.username or sound.uploader,
        page_url=sound.url or f"{SITE}/s/{int(digits)}/",
        duration=sound.duration,
        sample_rate=round(sound.samplerate) or None if sound.samplerate else None,
        channels=sound.channels or None,
    )
