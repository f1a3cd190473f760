"""A set as WebDataset shards: FLAC and JSON, the same bytes from the same recordings."""

import logging
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from stable_audio_open.audio.files import AudioFileError, read_audio
from stable_audio_open.audio.level.peaks import limit_peak
from stable_audio_open.audio.writing.formats import encode
from stable_audio_open.curation.training_set.select import (
    SelectedRecording,
    manifest_line,
    measured,
)
from stable_audio_open.files.atomic import replace_bytes, written_beside
from stable_audio_open.files.hashes import file_hash
from stable_audio_open.manifest import INDEX, SetIndex, SetShard

logger = logging.getLogger(__name__)


def write_shards(
    folder: Path,
    items: Sequence[SelectedRecording],
    audio: Path,
    *,
    seed: int = 0,
    per_shard: int = 256,
) -> tuple[SetIndex, dict[str, str]]:
    """Write `shard-NNNNNN.tar` and, last, `index.json`.

    KEY is the place in the order drawn from the seed. KEY.flac is the file itself where it is FLAC;
    others become FLAC of 24 bits at their own rate and channels, turned down where they exceed full
    scale. KEY.json holds the line of a manifest, seconds, rate and channels, and the whole record,
    from which prompts can be drawn anew in each epoch.

    Args:
        folder: Folder of the set.
        items: The recordings.
        audio: Folder of the files.
        seed: Decides the order, since training reads shards in sequence.
        per_shard: Recordings in each shard but the last.

    Returns:
        The index, and why each file that could not be read was left out.

    Raises:
        AudioFileError: When none can be read.
    """
    order = list(items)
    random.Random(seed).shuffle(order)
    unusable: dict[str, str] = {}
    shards = []
    for first in range(0, len(order), per_shard):
        path = folder / f"shard-{first // per_shard:06d}.tar"
        with written_beside(path) as partial:
            with partial.open("xb") as file:
                chosen = order[first : first + per_shard]
                count = _write_tar(file, chosen, audio, first=first, unusable=unusable)
                file.flush()
                os.fsync(file.fileno())
            digest, size = file_hash(partial), partial.stat().st_size
        shards.append(SetShard(file=path.name, sha256=digest, bytes=size, recordings=count))
        logger.info("%s written, %.1f MB", path.name, size / 1e6)
    index = SetIndex(recordings=sum(shard.recordings for shard in shards), shards=tuple(shards))
    if not index.recordings:
        raise AudioFileError(f"{audio}: no recording can be read; {next(iter(unusable.values()))}")
    replace_bytes(folder / INDEX, msgspec.json.format(msgspec.json.encode(index), indent=2) + b"\n")
    return index, unusable


def _write_tar(
    file: BinaryIO,
    items: Sequence[SelectedRecording],
    audio: Path,
    *,
    first: int,
    unusable: dict[str, str],
) -> int:
    from webdataset import TarWriter

    count = 0
    with TarWriter(file, encoder=False, compress=False, mtime=0) as tar:
        for place, item in enumerate(items, start=first):
            key = f"{place:09d}"
            try:
                flac = _flac(audio / str(item.record.file))
            except AudioFileError as error:
                unusable[str(item.record.file)] = str(error)
                logger.warning("recording left out: %s", error)
                continue
            text = msgspec.json.encode(_described(item, f"{key}.flac"))
            tar.write({"__key__": key, "flac": flac, "json": text})
            count += 1
    return count


def _flac(path: Path) -> bytes:
    """Return a recording as FLAC.

    Raises:
        AudioFileError: When it cannot be read, or FLAC cannot hold it.
    """
    import soundfile

    audio = read_audio(path)  # a FLAC file too, for damage shows in decoding alone
    if path.suffix.lower() == ".flac":
        return path.read_bytes()
    samples, decibels = limit_peak(audio.samples[0])
    if decibels:
        logger.warning("%s: exceeds full scale; turned down by %.2f dB", path, decibels)
    try:
        return bytes(encode(samples, audio.sample_rate, ".flac", "pcm24"))
    except soundfile.LibsndfileError as error:
        raise AudioFileError(
            f"{path}: FLAC cannot hold {audio.channels} channels at {audio.sample_rate} Hz "
            f"({error.error_string.rstrip('.')}); leave it out"
        ) from error


def _described(item: SelectedRecording, file: str) -> dict[str, Any]:
    line = manifest_line(item.record, file)
    return {
        # Readers of tars look for a caption, beside several too.
        **({"caption": line["captions"][0]} if "captions" in line else {}),
        **line,
        **measured(item.info),
        "record": item.record,
    }
