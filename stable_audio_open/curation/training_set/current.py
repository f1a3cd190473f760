"""A training set that is written anew only when what it is made of has changed."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.training_set.select import SUMMARY
from stable_audio_open.files.error_paths import errors_named
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.files.lock import scratch_folder
from stable_audio_open.files.replaced import replace_folder, restore_folder

INPUTS = "inputs.sha256"


def inputs_hash(records: Iterable[CatalogueRecord], audio: Path, settings: object) -> str:
    """Return what a set is made of as a SHA-256: settings, records, sizes and times of the files.

    Args:
        records: That stand.
        audio: Folder of the files; one that is not there counts as such.
        settings: What msgspec can write as JSON.
    """
    digest = hashlib.sha256(msgspec.json.encode(settings))
    for record in records:
        try:
            status = (audio / str(record.file)).stat()
            state = (status.st_size, status.st_mtime_ns)
        except OSError:
            state = (0, 0)
        digest.update(msgspec.json.encode((record, state)))
    return digest.hexdigest()


def keep_current(folder: Path, inputs: str, write: Callable[[Path], object]) -> bool:
    """Write a set, or leave the one that was made of the same.

    Args:
        folder: Folder of the set. One that this function wrote is replaced as a whole; it stays
            as it was when writing fails.
        inputs: See `inputs_hash`.
        write: Writes a set into a folder that is not there.

    Returns:
        False when the set is as before.

    Raises:
        ValueError: There is a folder that this function did not write.
    """
    restore_folder(folder)
    known = folder / INPUTS
    if folder.exists() and not known.is_file():
        raise ValueError(f"{folder}: was not written by `curate run`; move it away")
    if known.is_file() and known.read_text() == inputs:
        return False
    with (
        scratch_folder(folder.parent, folder.name) as scratch,
        errors_named(folder, inside=scratch, reads=True),
    ):
        beside = scratch / "set"
        write(beside)
        (beside / INPUTS).write_text(inputs)
        replace_folder(folder, beside)
    return True


def read_summary(folder: Path) -> dict[str, Any]:
    """Return what `set.json` says of a set.

    Raises:
        ValueError: It is no JSON object.
    """
    path = folder / SUMMARY
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except NOT_JSON as error:
        raise ValueError(f"{path}: not a summary of a set ({error}); build the set anew") from error
