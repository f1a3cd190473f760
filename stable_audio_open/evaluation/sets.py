"""Folders of recordings as sets of ids, and how two of them match."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.audio.paths import audio_files
from stable_audio_open.files.unicode_names import composed

SHOWN = 3
"""Ids that an error names."""


class MatchedRecordings(NamedTuple):
    """Ids of two sets, in order."""

    common: tuple[str, ...]
    missing: tuple[str, ...]
    """Identifiers of the reference alone."""
    extra: tuple[str, ...]
    """Identifiers of the other set alone."""


def recordings_by_id(folder: Path) -> dict[str, Path]:
    """Return the audio files below a folder by their stems, in order.

    Stems that look the same are the same, however their accents are written (NFC).

    Raises:
        ValueError: The folder is missing or holds no audio, or two files have one stem.
    """
    if folder.is_file():
        raise ValueError(f"{folder}: is a file; give the folder of the recordings")
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; check the path")
    found: dict[str, Path] = {}
    for path in audio_files(folder):
        other = found.setdefault(composed(path.stem), path)
        if other != path:
            raise ValueError(
                f"{folder}: {other.relative_to(folder)} and {path.relative_to(folder)} have the "
                "same id (name without suffix); rename one"
            )
    if not found:
        raise ValueError(f"{folder}: holds no audio; use WAV, FLAC, Ogg, MP3 or AIFF")
    return dict(sorted(found.items()))


def match(
    own: Mapping[str, object],
    reference: Mapping[str, object],
    *,
    names: tuple[object, object],
    allow_missing: bool = False,
) -> MatchedRecordings:
    """Compare the ids of two sets.

    Args:
        own: By id.
        reference: By id.
        names: Names of both, for the error.
        allow_missing: Take what both have.

    Raises:
        ValueError: One set lacks ids of the other and that is not allowed, or nothing is common.
    """
    found = MatchedRecordings(
        tuple(sorted(own.keys() & reference.keys())),
        tuple(sorted(reference.keys() - own.keys())),
        tuple(sorted(own.keys() - reference.keys())),
    )
    mine, theirs = names
    if not found.common and not allow_missing:
        raise ValueError(
            f"{mine}: shares no id with {theirs} ({_some(tuple(own))} and "
            f"{_some(tuple(reference))}); name files of one sound alike, suffix apart"
        )
    if found.missing and not allow_missing:
        raise ValueError(
            f"{mine}: lacks {_some(found.missing)} of {theirs}; add them, or pass --allow-missing"
        )
    if found.extra and not allow_missing:
        raise ValueError(
            f"{mine}: has {_some(found.extra)}, not in {theirs}; remove them, or pass "
            "--allow-missing"
        )
    return found


def _some(ids: tuple[str, ...]) -> str:
    shown = ", ".join(map(repr, ids[:SHOWN]))
    return shown if len(ids) <= SHOWN else f"{shown} and {len(ids) - SHOWN} more"
