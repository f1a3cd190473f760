"""Folders of generations or reconstructions, of one model with one set of settings."""

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.saving import save_audio
from stable_audio_open.evaluation.generations.whole import is_whole
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.json_lines import read_json_lines

SETTINGS, MANIFEST, RESULTS = "settings.json", "manifest.jsonl", "results"
SUFFIX = ".flac"
"""Of what is generated, and of references: their level makes no difference to any metric."""
DECODED_SUFFIX = ".wav"
"""Of what is decoded: float samples, as loud as they came, for distances that hear level."""

logger = logging.getLogger(__name__)


class GenerationSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="generation"
):
    """How the generations in a folder were made."""

    model: str
    """As it was asked for."""
    lora: tuple[str, ...] = ()
    """Adapters that were merged, each as FOLDER:WEIGHT; the hash tells them apart."""
    weights: str | None
    """`module_hash` of the model."""
    protocol: str
    prompts: str
    """`prompts_hash` of the whole table of captions."""
    seconds: float
    """Length of each file."""
    sample_rate: int
    channels: int
    steps: int
    guidance: float
    sampler: str
    seed: int
    """Of the first caption of the table; the others count up."""


class ReconstructionSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reconstruction"
):
    """How the reconstructions in a folder were made."""

    model: str
    weights: str | None
    protocol: str
    prompts: str
    sample_rate: int
    channels: int
    downsampling: int
    """Samples per latent."""
    latent_channels: int


Settings = GenerationSettings | ReconstructionSettings
NAMES = ("model", "lora")
"""Settings that may differ: what they stand for is known by its hash."""


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A file to make; the manifest lists those that are made."""

    id: str
    """Of the caption, for generations; of the clip, for reconstructions."""
    file: str
    """Relative to the folder."""
    clip: str
    """The recording that it is compared with."""
    prompt: str | None = None
    seed: int | None = None


def open_set(folder: Path, settings: Settings) -> None:
    """Prepare a folder for files made with these settings; only names may differ.

    Raises:
        ValueError: It holds files that were made otherwise, or that are of something else.
    """
    path = folder / SETTINGS
    content = msgspec.json.format(msgspec.json.encode(settings)) + b"\n"
    if not path.is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(
                f"{folder}: is not empty and holds no {SETTINGS}; give a new or empty folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        replace_bytes(path, content)
        return
    found = read_settings(folder)
    old, new = msgspec.to_builtins(found), msgspec.to_builtins(settings)
    other = [name for name in new if name not in NAMES and old.get(name) != new[name]]
    if other and not any(file.suffix in (SUFFIX, DECODED_SUFFIX) for file in folder.iterdir()):
        # A run that failed before its first file binds nobody, nor does what was measured of it.
        shutil.rmtree(folder / RESULTS, ignore_errors=True)
        replace_bytes(path, content)
    elif other:
        changes = ", ".join(
            f"{name} {_short(old.get(name))}, now {_short(new[name])}" for name in other
        )
        if "weights" in other and model_name(found) != model_name(settings):
            changes = f"{model_name(found)}, now {model_name(settings)} ({changes})"
        raise ValueError(
            f"{folder}: its files were made with {changes}; give another folder, or the same "
            "settings"
        )


def model_name(settings: Settings) -> str:
    """Return the model by name, with its adapters: `tiny + FOLDER:0.5`."""
    lora = settings.lora if isinstance(settings, GenerationSettings) else ()
    return " + ".join((settings.model, *lora))


def read_settings(folder: Path) -> Settings:
    """Return how the files in a folder were made.

    Raises:
        ValueError: The folder has no such record, or it cannot be read.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise ValueError(
            f"{folder}: holds no {SETTINGS}; give a folder of `evaluate generate` or `evaluate "
            "protocol`"
        )
    try:
        settings: Settings = msgspec.json.decode(path.read_bytes(), type=Settings)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not the settings of a set ({error})") from error
    return settings


def make_missing(
    folder: Path,
    items: Sequence[Item],
    make: Callable[[Sequence[Item]], Audio],
    *,
    batch: int,
    rank: int = 0,
    processes: int = 1,
) -> int:
    """Make the files that are not there yet, or are damaged, and return how many.

    Args:
        folder: As `open_set` prepared it.
        items: What there shall be.
        make: Items, at most `batch` of them, to as many sounds.
        batch: Items at once.
        rank: Number of this process, of which each takes every `processes`-th item.
        processes: How many there are.

    Raises:
        AudioSaveError: A file could not be written.
    """
    mine = items[rank::processes]
    waiting = [item for item in mine if not is_whole(folder / item.file)]
    for start in range(0, len(waiting), batch):
        group = waiting[start : start + batch]
        for item, sound in zip(group, make(group), strict=True):
            _save(sound, folder / item.file)
        done = len(mine) - len(waiting) + start + len(group)
        share = f" of process {rank + 1} of {processes}" if processes > 1 else ""
        logger.info("%s: %d of %d files%s made", folder, done, len(mine), share)
    return len(waiting)


def write_manifest(folder: Path, items: Sequence[Item]) -> list[Item]:
    """List those items whose files are there, in order, and return them."""
    made = [item for item in items if (folder / item.file).is_file()]
    lines = b"".join(msgspec.json.encode(item) + b"\n" for item in made)
    replace_bytes(folder / MANIFEST, lines)
    return made


def read_manifest(folder: Path) -> list[Item]:
    """Return the items whose files are in a folder.

    Raises:
        ValueError: There is no manifest, it cannot be read, or a file that it lists is gone.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder}: holds no {MANIFEST}; run the command that made it to its end")
    items = read_json_lines(path, Item, what="an item of a set")
    for number, item in enumerate(items, start=1):
        if not (folder / item.file).is_file():
            raise ValueError(
                f"{path}:{number}: {item.file} is gone; run the command that made it again"
            )
    return items


def _save(sound: Audio, path: Path) -> None:
    decoded = path.suffix == DECODED_SUFFIX
    save_audio(
        path,
        sound.samples[0],
        sound.sample_rate,
        subtype="float" if decoded else "pcm24",
        keep_level=decoded,
    )


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else text  # of prompts_hash
