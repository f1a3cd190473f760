"""Where sounds can be written: said before the work, and by the place."""

import os
import tempfile
from pathlib import Path

from stable_audio_open.audio.writing.formats import FORMATS, LOSSY, SUBTYPES, Subtype

LONGEST_NAME = 250
"""Bytes of a name that `.json` can stand behind."""


class AudioSaveError(OSError):
    """A file could not be written; the message is one line and names it."""


def check_target(path: Path, subtype: Subtype) -> str:
    """Return the lower-case suffix of a path to which a sound can be saved.

    Raises:
        ValueError: The suffix or the subtype is unknown, or they do not go together.
        AudioSaveError: The folder is not there, or a folder has this name.
    """
    suffix = path.suffix.lower()
    check_file_name(path)
    if suffix not in FORMATS:
        raise ValueError(
            f"{path}: unknown audio suffix {path.suffix!r}; use one of {', '.join(FORMATS)}"
        )
    if subtype not in SUBTYPES:
        raise ValueError(f"{path}: unknown subtype {subtype!r}; use 'pcm16', 'pcm24' or 'float'")
    if subtype == "float" and suffix != ".wav":
        raise ValueError(
            f"{path}: {suffix} files cannot hold float samples; use .wav or subtype='pcm24'"
        )
    if subtype == "pcm16" and suffix in LOSSY:
        raise ValueError(
            f"{path}: {suffix} files hold no integers; use .wav or .flac, or leave the subtype out"
        )
    if not path.parent.is_dir():
        raise AudioSaveError(
            f"{path}: the folder {path.parent} does not exist; create it or choose another one"
        )
    if path.is_dir():
        raise AudioSaveError(f"{path}: is a folder; give the name of a file")
    return suffix


def check_folder(output: Path) -> None:
    """Check that a folder can be written to, or made and written to.

    Raises:
        ValueError: Its name is that of nothing.
        AudioSaveError: It is a file, its parent is missing, or nothing can be written there.
    """
    check_file_name(output)
    if output.is_dir():
        check_writable(output)
    elif output.exists():
        raise AudioSaveError(f"{output}: is a file; give a folder, existing or new")
    elif not output.parent.is_dir():
        raise AudioSaveError(
            f"{output}: the folder {output.parent} does not exist; create it or choose another one"
        )
    else:
        check_writable(output.parent)


def check_file_name(path: Path) -> None:
    """Check that a path can be one, and leaves room for the name of the tags beside it.

    Raises:
        ValueError: It holds a NUL character.
        AudioSaveError: The name is too long.
    """
    if "\0" in str(path):
        raise ValueError(f"{str(path)!r}: holds a NUL character, as no path does; choose another")
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise AudioSaveError(
            f"{path}: its name has {len(os.fsencode(path.name))} bytes, and file systems take "
            f"{LONGEST_NAME} and a suffix; choose a shorter one"
        )


def make_folder(output: Path) -> None:
    """Make a folder where it does not exist.

    Raises:
        AudioSaveError: It cannot be made, or nothing can be written there.
    """
    check_folder(output)
    try:
        output.mkdir(exist_ok=True)
    except OSError as error:
        raise AudioSaveError(
            f"{output}: cannot be made ({error.strerror}); choose another folder"
        ) from error


def check_writable(folder: Path) -> None:
    """Check that files can be made in a folder.

    Raises:
        AudioSaveError: They cannot.
    """
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise AudioSaveError(
            f"{folder}: nothing can be written there ({error.strerror}); choose another folder"
        ) from error
