"""A folder of sounds with one set of settings and a list of its files, made once and resumed."""

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

import msgspec

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import AudioFileError, audio_info, read_audio
from stable_audio_open.audio.level.peaks import limit_peak
from stable_audio_open.audio.writing.saving import save_audio
from stable_audio_open.files.atomic import replace_bytes

SETTINGS = "settings.json"
SUFFIX = ".flac"
"""Files of 24 bits, for sounds whose level makes no difference to any metric."""
FLOAT_SUFFIX = ".wav"
"""Files of float samples, for sounds that stay as loud as they are."""

logger = logging.getLogger(__name__)


@runtime_checkable
class WantedFile(Protocol):
    """A file of the folder, and what it is made of."""

    @property
    def file(self) -> str:
        """Path relative to the folder; its suffix is `SUFFIX` or `FLOAT_SUFFIX`."""


File = TypeVar("File", bound=WantedFile)


def write_settings(folder: Path, settings: msgspec.Struct) -> None:
    """Say in `settings.json` what the sounds of a folder have in common; the folder exists."""
    replace_bytes(folder / SETTINGS, msgspec.json.format(msgspec.json.encode(settings)) + b"\n")


def changed_settings(
    before: msgspec.Struct, now: msgspec.Struct, *, besides: Sequence[str] = ()
) -> dict[str, tuple[object, object]]:
    """Return old and new value of all settings that differ, by name.

    Args:
        before: What the sounds of a folder were made with.
        now: What others are to be made with.
        besides: Names of settings that may differ.
    """
    old, new = msgspec.to_builtins(before), msgspec.to_builtins(now)
    return {
        name: (old.get(name), value)
        for name, value in new.items()
        if name not in besides and old.get(name) != value
    }


def write_list(path: Path, files: Sequence[msgspec.Struct]) -> None:
    """Write the list of a folder's files: one JSON object a line, in order."""
    replace_bytes(path, b"".join(msgspec.json.encode(file) + b"\n" for file in files))


def remove_others(folder: Path, wanted: Mapping[str, object], known: Mapping[str, object]) -> None:
    """Remove files that were made of something else, before a record says otherwise.

    Args:
        folder: Folder of the files.
        wanted: What each file is to be made of, by the file.
        known: What files were made of, by the file; one that is unknown is removed too.
    """
    for file, source in wanted.items():
        if known.get(file) != source:
            (folder / file).unlink(missing_ok=True)


def make_missing(
    folder: Path,
    files: Sequence[File],
    make: Callable[[Sequence[File]], Audio],
    *,
    batch: int,
    together: Callable[[File], Hashable] | None = None,
    rank: int = 0,
    processes: int = 1,
    progress: Callable[[], None] = lambda: None,
    level: int = logging.INFO,
) -> int:
    """Make the files that are not there yet, or are damaged, and return how many.

    Args:
        folder: Exists.
        files: What there shall be.
        make: Files, at most `batch` of them, to as many sounds.
        batch: Files at once.
        together: Value that files next to each other must share to be made at once. A batch of
            which a file is missing is then made again as a whole, so that a resumed run gives what
            an uninterrupted one does. Where None, all that is missing is made in batches.
        rank: Number of this process, of which each takes every `processes`-th file.
        processes: How many there are.
        progress: Called for each file that is there.
        level: Level of the line that is logged after each batch.

    Raises:
        AudioSaveError: A file could not be written.
    """
    mine = files[rank::processes]
    batches = list(_batches(folder, mine, batch, together))
    made = sum(map(len, batches))
    done = len(mine) - made
    for _ in range(done):
        progress()
    for group in batches:
        for one, sound in zip(group, make(group), strict=True):
            _save(sound, folder / one.file)
            progress()
        done += len(group)
        share = f" of process {rank + 1} of {processes}" if processes > 1 else ""
        logger.log(level, "%s: %d of %d files%s made", folder, done, len(mine), share)
    return made


def is_whole(path: Path) -> bool:
    """Return whether a file is there and not cut off; a damaged one is named in a warning.

    The end is decoded, since the header of a FLAC file says nothing of where the file ends. Damage
    in its middle is not found.
    """
    if not path.exists():
        return False
    try:
        info = audio_info(path)
        read_audio(path, start=(info.frames - 1) / info.sample_rate)
    except AudioFileError as error:
        logger.warning("made again: %s", error)
        return False
    return True


def _batches(
    folder: Path,
    files: Sequence[File],
    batch: int,
    together: Callable[[File], Hashable] | None,
) -> Iterator[Sequence[File]]:
    """Yield the files to make, as many as can be made at once."""
    if together is None:
        missing = [one for one in files if not is_whole(folder / one.file)]
        yield from _parts(missing, batch)
        return
    for _, same in groupby(files, key=together):
        for group in _parts(list(same), batch):
            if not all(is_whole(folder / one.file) for one in group):
                yield group


def _parts(files: Sequence[File], batch: int) -> Iterator[Sequence[File]]:
    for first in range(0, len(files), batch):
        yield files[first : first + batch]


def _save(sound: Audio, path: Path) -> None:
    if path.suffix == FLOAT_SUFFIX:
        samples = sound.samples[0]
        save_audio(path, samples, sound.sample_rate, subtype="float", keep_level=True)
        return
    # Levels are not compared, so that turning down is worth no warning.
    samples, _ = limit_peak(sound.samples[0])
    save_audio(path, samples, sound.sample_rate)
