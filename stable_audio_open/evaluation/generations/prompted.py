"""Sounds from the prompts of training recordings, and recordings through the autoencoder."""

import hashlib
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import msgspec

from stable_audio_open.audio.audio import Audio
from stable_audio_open.evaluation.generations.folder import (
    SETTINGS,
    SUFFIX,
    changed_settings,
    make_missing,
    remove_others,
    write_list,
    write_settings,
)
from stable_audio_open.files.json_lines import NOT_JSON, read_json_lines
from stable_audio_open.files.names import shortened_name
from stable_audio_open.settings import check_steps

MANIFEST = "generations.jsonl"

Generate: TypeAlias = Callable[[Sequence[str], Sequence[int], float], Audio]
"""Prompts, their seeds and seconds of sound -> as many sounds."""


class PromptedSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What sounds of one folder have in common.

    Raises:
        ValueError: When a number is out of its range.
    """

    model: str
    """The model, as `load` takes it."""
    lora: tuple[str, ...] = ()
    """Adapters that were merged, each as FOLDER:WEIGHT."""
    weights: str | None = None
    """Hash of the model with them."""
    prompts: str
    """`caption` or `metadata`."""
    seed: int
    """Seed of all seeds and prompts."""
    steps: int
    """Sampling steps."""
    guidance: float
    """Scale of classifier-free guidance."""
    duration: float | None = None
    """Seconds; those of the recording where None, at most the window."""

    def __post_init__(self) -> None:
        if self.prompts not in ("caption", "metadata"):
            raise ValueError(f"prompts are {self.prompts!r}; allowed: caption, metadata")
        check_steps(self.steps)
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        if not math.isfinite(self.guidance):
            raise ValueError(f"guidance scale must be a finite number, got {self.guidance}")
        if self.duration is not None and not 0 < self.duration < math.inf:
            raise ValueError(f"duration must be above 0 s, got {self.duration}")


class PromptedSound(msgspec.Struct, frozen=True, kw_only=True):
    """A sound to generate, and a line of the manifest."""

    file: str
    """Path relative to the folder."""
    prompt: str
    """Text that it is made from."""
    seed: int
    """Seed of its noise."""
    seconds: float
    """Its length."""
    recording: str
    """Recording whose prompt it is, relative to the folder of the training set."""


def wanted_sound(
    recording: str, copy: int, *, prompt: str, seconds: float, settings: PromptedSettings
) -> PromptedSound:
    """Return the `copy`-th sound for a recording; its seed depends on nothing else.

    Args:
        recording: Relative to the folder of the training set.
        copy: From 0.
        prompt: What to generate.
        seconds: How much.
        settings: Their seed counts.
    """
    digest = hashlib.sha256(f"{settings.seed} {copy} {recording}".encode()).digest()
    return PromptedSound(
        file=f"{_words(recording)}_{copy}_{digest[:4].hex()}{SUFFIX}",
        prompt=prompt,
        seed=int.from_bytes(digest[4:8], "big"),
        seconds=seconds,
        recording=recording,
    )


def make_generations(
    wanted: Sequence[PromptedSound],
    folder: Path,
    *,
    generate: Generate,
    settings: PromptedSettings,
    batch: int = 8,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Generate the sounds that the folder does not hold, as FLAC of 24 bits.

    Of what it holds, what is damaged or was made of another prompt, seed or length is made anew.
    The sounds for one recording are made together, in batches; a batch of which a file is missing
    is made again as a whole, so that a resumed run gives what an uninterrupted one does.

    Args:
        wanted: The sounds for one recording one after the other.
        folder: Made where it is missing; its manifest lists what was wanted last, then what else
            is there.
        generate: The model.
        settings: What the folder's sounds have in common.
        batch: At most so many at once.
        progress: Called after each sound that is there.

    Raises:
        ValueError: When the folder was begun with other settings, or its manifest cannot be read.
    """

    def make(sounds: Sequence[PromptedSound]) -> Audio:
        prompts, seeds = [one.prompt for one in sounds], [one.seed for one in sounds]
        return generate(prompts, seeds, sounds[0].seconds)

    folder.mkdir(parents=True, exist_ok=True)
    check_settings(folder, settings)
    listed = {one.file: one for one in wanted}
    known = _read_manifest(folder / MANIFEST)
    remove_others(folder, listed, known)
    kept = [
        one for one in known.values() if one.file not in listed and (folder / one.file).is_file()
    ]
    write_settings(folder, settings)
    write_list(folder / MANIFEST, [*wanted, *kept])
    make_missing(
        folder,
        wanted,
        make,
        batch=batch,
        together=lambda one: (one.recording, one.seconds),
        progress=progress,
    )


def make_reconstructions(
    hashes: Mapping[str, str],
    source: Path,
    folder: Path,
    *,
    reconstruct: Callable[[Path], Audio],
) -> list[PromptedSound]:
    """Write recordings as the autoencoder gives them back, those that the folder does not hold.

    Args:
        hashes: Hash of the audio of each file, which is relative to `source`; another recording of
            the same name is another sound.
        source: Folder of the recordings.
        folder: Made where it is missing.
        reconstruct: The autoencoder: path of a recording -> what comes back.

    Returns:
        One sound for each file; prompt and seed say nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    wanted = []
    for file, audio_hash in hashes.items():
        digest = hashlib.sha256(f"{audio_hash} {file}".encode()).hexdigest()
        name = f"{_words(file)}_{digest[:8]}{SUFFIX}"
        wanted.append(PromptedSound(file=name, prompt=file, seed=0, seconds=0.0, recording=file))
    make_missing(folder, wanted, lambda one: reconstruct(source / one[0].recording), batch=1)
    return wanted


def check_settings(folder: Path, settings: PromptedSettings) -> None:
    """Check that the sounds of a folder, if it holds any, were made as those to come.

    Raises:
        ValueError: They were not.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return
    try:
        before = msgspec.json.decode(path.read_bytes(), type=PromptedSettings)
    except NOT_JSON as error:
        raise ValueError(f"{path}: {error}; choose another output folder") from error
    for name in changed_settings(before, settings):
        raise ValueError(
            f"{folder}: was begun with {name} {getattr(before, name)!r}, got "
            f"{getattr(settings, name)!r}; choose another output folder, or give the same"
        )


def _read_manifest(path: Path) -> dict[str, PromptedSound]:
    """Return what was wanted of each file; nothing where there is no manifest."""
    sounds = read_json_lines(
        path, PromptedSound, what="a sound", remedy="delete the file to make all sounds again"
    )
    return {sound.file: sound for sound in sounds}


def _words(recording: str) -> str:
    return shortened_name(re.sub(r"[^\w.-]+", "-", PurePosixPath(recording).stem))
