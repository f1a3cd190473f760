"""Folders of a protocol: generations or reconstructions of one model, with one set of settings."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stable_audio_open.evaluation.generations.folder import (
    FLOAT_SUFFIX,
    SETTINGS,
    SUFFIX,
    changed_settings,
    write_list,
    write_settings,
)
from stable_audio_open.files.json_lines import NOT_JSON, read_json_lines

MANIFEST, RESULTS = "manifest.jsonl", "results"
NAMES = ("model", "lora")
"""Settings that may differ: what they stand for is known by its hash."""


class GenerationSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="generation"
):
    """How the generations in a folder were made."""

    model: str
    """The model as it was asked for."""
    lora: tuple[str, ...] = ()
    """Adapters that were merged, each as FOLDER:WEIGHT; the hash tells them apart."""
    weights: str | None
    """`module_hash` of the model."""
    protocol: str
    """Name of the data set."""
    prompts: str
    """`prompts_hash` of the whole table of captions."""
    seconds: float
    """Length of each file."""
    sample_rate: int
    """Rate of each file in hertz."""
    channels: int
    """Channels of each file."""
    steps: int
    """Sampling steps."""
    guidance: float
    """Scale of classifier-free guidance."""
    sampler: str
    """Name of the sampler."""
    seed: int
    """Seed of the first caption of the table; the others count up."""


class ReconstructionSettings(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="reconstruction"
):
    """How the reconstructions in a folder were made."""

    model: str
    """The model as it was asked for."""
    weights: str | None
    """`module_hash` of the autoencoder."""
    protocol: str
    """Name of the data set."""
    prompts: str
    """`prompts_hash` of the whole table of captions."""
    sample_rate: int
    """Rate of each file in hertz."""
    channels: int
    """Channels of each file."""
    downsampling: int
    """Samples per latent."""
    latent_channels: int
    """Channels of the latents."""


Settings = GenerationSettings | ReconstructionSettings


class SetFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file to make; the manifest lists those that are made."""

    id: str
    """Identifier of the caption, for generations; of the clip, for reconstructions."""
    file: str
    """Path relative to the folder."""
    clip: str
    """The recording that it is compared with."""
    prompt: str | None = None
    """Text of a generation."""
    seed: int | None = None
    """Seed of a generation."""


def open_set(folder: Path, settings: Settings) -> None:
    """Prepare a folder for files made with these settings; only names may differ.

    Raises:
        ValueError: It holds files that were made otherwise, or that are of something else.
    """
    if not (folder / SETTINGS).is_file():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ValueError(
                f"{folder}: is not empty and holds no {SETTINGS}; give a new or empty folder"
            )
        folder.mkdir(parents=True, exist_ok=True)
        write_settings(folder, settings)
        return
    found = read_settings(folder)
    changed = changed_settings(found, settings, besides=NAMES)
    if changed and not any(file.suffix in (SUFFIX, FLOAT_SUFFIX) for file in folder.iterdir()):
        # A run that failed before its first file binds nobody, nor does what was measured of it.
        shutil.rmtree(folder / RESULTS, ignore_errors=True)
        write_settings(folder, settings)
    elif changed:
        changes = ", ".join(
            f"{name} {_short(old)}, now {_short(new)}" for name, (old, new) in changed.items()
        )
        if "weights" in changed and model_label(found) != model_label(settings):
            changes = f"{model_label(found)}, now {model_label(settings)} ({changes})"
        raise ValueError(
            f"{folder}: its files were made with {changes}; give another folder, or the same "
            "settings"
        )


def model_label(settings: Settings) -> str:
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
    except NOT_JSON as error:
        raise ValueError(f"{path}: not the settings of a set ({error})") from error
    return settings


def write_set_files(folder: Path, files: Sequence[SetFile]) -> list[SetFile]:
    """List those files that are there, in order, and return them."""
    made = [one for one in files if (folder / one.file).is_file()]
    write_list(folder / MANIFEST, made)
    return made


def read_set_files(folder: Path) -> list[SetFile]:
    """Return the files in a folder.

    Raises:
        ValueError: There is no manifest, it cannot be read, or a file that it lists is gone.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(f"{folder}: holds no {MANIFEST}; run the command that made it to its end")
    files = read_json_lines(path, SetFile, what="an item of a set")
    for number, one in enumerate(files, start=1):
        if not (folder / one.file).is_file():
            raise ValueError(
                f"{path}:{number}: {one.file} is gone; run the command that made it again"
            )
    return files


def _short(value: object) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else text  # of prompts_hash
