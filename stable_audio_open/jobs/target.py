"""Where sounds go: checked before the work, written after it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.writing.formats import FORMATS, Subtype, check_form
from stable_audio_open.audio.writing.places import (
    check_folder,
    check_target,
    check_writable,
    make_folder,
)
from stable_audio_open.audio.writing.tags import check_beside, is_beside_of_others, is_sound_there
from stable_audio_open.files.lock import one_at_a_time
from stable_audio_open.files.names import free_path, is_taken
from stable_audio_open.files.patterns import DEFAULT, NamePattern


@dataclass(frozen=True)
class Target:
    """A file for one sound, or a folder for any number."""

    path: Path
    is_folder: bool
    subtype: Subtype
    overwrite: bool = False
    """Replace files of the same name in a folder; else a number is appended."""
    kept: set[Path] = field(default_factory=set)
    """Places that are never replaced: of this run, which are added here, and of what it reads."""

    def check_form(self, sample_rate: int, channels: int, *, suffix: str) -> None:
        """Check that sounds of this form can be saved here.

        Args:
            sample_rate: Of the sounds.
            channels: Of the sounds.
            suffix: Of the files in a folder.

        Raises:
            ValueError: Files of this kind cannot hold them.
        """
        path = self.path / f"sound{suffix}" if self.is_folder else self.path
        check_form(path, sample_rate, channels, subtype=self.subtype)

    def save(self, audio: Audio, names: Sequence[str], *, tags: bool = True) -> list[Path]:
        """Save every item; in a folder (made where it does not exist) under its name.

        Args:
            audio: The sounds.
            names: Names of the files of a folder, with suffixes, one per item.
            tags: Write into each file how it was made.
        """
        if not self.is_folder:
            return audio.save(self.path, subtype=self.subtype, tags=tags)
        make_folder(self.path)
        saved = []
        for item, name in zip(audio, names, strict=True):
            with one_at_a_time(self.path):
                free = free_path(self.path / name, self._is_taken)
                self.kept.add(place_of(free))
                saved += item.save(free, subtype=self.subtype, tags=tags)
        return saved

    def _is_taken(self, path: Path) -> bool:
        if not self.overwrite:
            return is_sound_there(path)
        return place_of(path) in self.kept or path.is_dir() or is_beside_of_others(path)


def place_of(path: Path) -> Path:
    """Return where a file is, by whatever way to its folder it is called."""
    return path.parent.resolve() / path.name


def plan(
    output: Path,
    *,
    sounds: int,
    subtype: Subtype,
    overwrite: bool = False,
    suffix: str = ".wav",
    tags: bool = True,
) -> Target:
    """Say where sounds will be saved, or why they cannot be, before they are made.

    A name without a suffix, or of an existing folder, is a folder; else a file.

    Args:
        output: The file or folder.
        sounds: How many there will be.
        subtype: Of the samples.
        overwrite: Replace what exists.
        suffix: Of the files in a folder.
        tags: They will be written, into the file or beside it.

    Raises:
        ValueError: Unknown suffix, several sounds for one file, a file that exists, or somebody
            else's where its tags may have to stand.
        AudioSaveError: The folder is missing or nothing can be written there.
    """
    if output.is_dir() or not (output.suffix or output.exists()):
        check_folder(output)
        # The suffix alone: the folder may not exist yet.
        check_target(output.parent / f"sound{suffix}", subtype)
        return Target(output, True, subtype, overwrite)
    check_target(output, subtype)
    if sounds > 1:
        raise ValueError(
            f"{output}: {sounds} sounds do not fit into one file; give a folder (a name without "
            f"{output.suffix})"
        )
    if is_taken(output) and not overwrite:
        raise ValueError(f"{output}: exists; give another name, or --overwrite to have it replaced")
    if tags:
        check_beside(output)
    check_writable(output.parent)
    return Target(output, False, subtype, overwrite)


def check_apart(output: Path, recording: Path) -> None:
    """Check that a file to write is another one than a recording that is read.

    Raises:
        ValueError: They are one.
    """
    if output.is_file() and recording.exists() and output.samefile(recording):
        raise ValueError(f"{output}: is the recording itself; choose another output")


def name_pattern(pattern: str | None) -> NamePattern:
    """Return how files in a folder are named, by prompt and seed where None.

    Raises:
        ValueError: The pattern cannot name files.
    """
    return NamePattern(DEFAULT if pattern is None else pattern, suffixes=tuple(FORMATS))
