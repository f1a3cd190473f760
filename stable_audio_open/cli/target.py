"""Where the sound goes: checked before the work, written after it."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.saving import Subtype, check_folder, check_target, check_writable
from stable_audio_open.files.names import shortened_name


class Target(NamedTuple):
    """A file for one sound, or a folder for any number."""

    path: Path
    is_folder: bool
    subtype: Subtype

    def save(self, audio: Audio, names: Sequence[str]) -> list[Path]:
        """Save every item; in a folder (made where it does not exist) under its name, as WAV."""
        if not self.is_folder:
            return audio.save(self.path, subtype=self.subtype)
        self.path.mkdir(exist_ok=True)
        return [
            path
            for item, name in zip(audio, names, strict=True)
            for path in item.save(self.path / f"{name}.wav", subtype=self.subtype)
        ]


def plan(output: Path, *, sounds: int, subtype: Subtype) -> Target:
    """Say where sounds will be saved, or why they cannot be, before they are made.

    A name without a suffix, or of an existing folder, is a folder; else a file.

    Raises:
        ValueError: Unknown suffix, or several sounds for one file.
        AudioSaveError: The folder is missing or nothing can be written there.
    """
    if output.is_dir() or not (output.suffix or output.exists()):
        check_folder(output)
        return Target(output, True, subtype)
    check_target(output, subtype)
    if sounds > 1:
        raise ValueError(
            f"{output}: {sounds} sounds do not fit into one file; give a folder (a name without "
            f"{output.suffix})"
        )
    check_writable(output.parent)
    return Target(output, False, subtype)


def file_name(prompt: str, seed: int) -> str:
    """Return a file name, without suffix, that tells the request: `deep-kick-drum_1234`."""
    words = re.sub(r"\W+", "-", prompt.lower()).strip("-")
    return f"{shortened_name(words).rstrip('-') or 'sound'}_{seed}"
