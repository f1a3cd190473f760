"""Items of a batch to one file, or to files of their own in a folder."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from stable_audio_open.audio.writing.formats import FORMATS, LOSSY, Subtype
from stable_audio_open.audio.writing.places import check_file_name, check_target, make_folder
from stable_audio_open.audio.writing.saving import save_audio
from stable_audio_open.audio.writing.tags import is_sound_there
from stable_audio_open.files.lock import one_at_a_time
from stable_audio_open.files.names import free_path

if TYPE_CHECKING:
    from stable_audio_open.audio.audio import Audio

logger = logging.getLogger(__name__)


def save_items(
    audio: "Audio", path: str | Path, *, subtype: Subtype, item: int | None, tags: bool
) -> list[Path]:
    """Save one item, or all, as `Audio.save` says; return the files.

    Raises:
        ValueError: There is no such item, or there are several for one file.
        OSError: Nothing can be written there.
    """
    if item is not None and item not in range(-len(audio), len(audio)):
        raise ValueError(f"there is no item {item} in a batch of {len(audio)}")
    chosen = list(range(len(audio))) if item is None else [range(len(audio))[item]]
    ends_as_folder = str(path).endswith(("/", "\\"))
    path = Path(path)
    check_file_name(path)
    if ends_as_folder or (path.is_dir() and path.suffix.lower() not in FORMATS):
        make_folder(path)
        saved = []
        for index in chosen:
            stem = f"{index}_{audio.seeds[index]}" if audio.seeds else str(index)
            with one_at_a_time(path):
                free = free_path(path / f"{stem}.wav", is_sound_there)
                saved.append(_save(audio[index], free, subtype, tags=tags))
        return saved
    if len(chosen) != 1:
        check_target(path, subtype)
        raise ValueError(
            f"{path}: {len(audio)} items do not fit into one file; pass item=, loop over the "
            "audio, or give a folder (a name that ends with a slash)"
        )
    return [_save(audio[chosen[0]], path, subtype, tags=tags)]


def _save(audio: "Audio", path: Path, subtype: Subtype, *, tags: bool) -> Path:
    """Save the one item."""
    sound = audio.finish() if audio.fade else audio
    if audio.loop and path.suffix.lower() in LOSSY:
        logger.warning(
            "%s: %s puts silence around a sound, which a loop does not want; use .wav or .flac",
            path,
            path.suffix,
        )
    return save_audio(
        path,
        sound.samples[0],
        sound.sample_rate,
        subtype=subtype,
        tags=sound.tags[0] if tags and sound.tags else None,
    )
