"""Sounds on disk, as they were made, and as files of the formats that people take."""

import threading
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import msgspec
from safetensors import safe_open
from safetensors.torch import save_file

from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.writing.formats import SUBTYPES, Subtype
from stable_audio_open.service.problems import InvalidError, NotThereError

Format: TypeAlias = Literal["wav", "flac", "ogg", "mp3"]
FORMATS: tuple[Format, ...] = get_args(Format)
MADE = "made.safetensors"
"""The sounds of a job, each sample as it was made."""
PREVIEW = "preview.wav"
PIECES = "pieces.f32"
"""Samples of a stream as they come, channel beside channel, without a header."""

_ENCODING = threading.Lock()
"""One file is encoded at a time: the CPU is wanted for sounds."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What an `Audio` is beside its samples."""

    sample_rate: int
    seeds: tuple[int, ...]
    lengths: tuple[int, ...]
    fade: float
    loop: bool
    tags: tuple[dict[str, Any], ...]


def write_result(audio: Audio, folder: Path) -> None:
    """Write sounds as they were made; the file appears as a whole."""
    kept = Kept(
        sample_rate=audio.sample_rate,
        seeds=audio.seeds,
        lengths=audio.lengths,
        fade=audio.fade,
        loop=audio.loop,
        tags=tuple(dict(tags) for tags in audio.tags),
    )
    scratch = folder / f"{MADE}.part"
    save_file(
        {"samples": audio.samples.contiguous()},
        scratch,
        metadata={"audio": msgspec.json.encode(kept).decode()},
    )
    scratch.replace(folder / MADE)


def read_result(folder: Path) -> Audio:
    """Read the sounds of a job that is done."""
    with safe_open(folder / MADE, framework="pt") as file:
        kept = msgspec.json.decode(file.metadata()["audio"], type=Kept)
        return Audio(file.get_tensor("samples"), **msgspec.structs.asdict(kept))


def encoded(
    folder: Path, *, item: int = 0, format: Format = "wav", subtype: Subtype = "pcm24"
) -> Path:
    """Return a file of one sound, which is written where it is asked for the first time.

    Args:
        folder: Folder of a job that is done.
        item: Which of its sounds.
        format: Suffix of the file.
        subtype: Samples of WAV and FLAC files, as `Audio.save` takes them.

    Raises:
        InvalidError: There is no such item or format, or the format cannot hold the sound.
    """
    for name, value, known in (("format", format, FORMATS), ("subtype", subtype, SUBTYPES)):
        if value not in known:
            raise InvalidError(
                f"{name} must be one of {', '.join(known)}, got {value!r:.60}"
                f"{did_you_mean(str(value), known)}",
                field=name,
            )
    with _ENCODING:
        path = folder / f"{item}.{subtype}.{format}"
        if item < 0 or not path.is_file():
            audio = read_result(folder)
            if not 0 <= item < len(audio):
                raise InvalidError(
                    f"item must be 0 to {len(audio) - 1}, got {item}: so many sounds there are",
                    field="item",
                )
            try:
                audio[item].save(path, subtype=subtype)
            except ValueError as error:
                message = str(error).replace(str(path), f"the sound as {format}")
                field = "subtype" if "subtype" in message else "format"
                raise InvalidError(message, field=field) from error
    return path


def write_preview(audio: Audio, folder: Path) -> None:
    """Write what a sound would be so far, in place of what it was before."""
    audio.save(folder / PREVIEW, subtype="pcm16", tags=False)


def preview_of(folder: Path) -> Path:
    """Return the file of the newest preview.

    Raises:
        NotThereError: There is none.
    """
    path = folder / PREVIEW
    if not path.is_file():
        raise NotThereError("there is no preview; preview_every asks for them")
    return path
