"""Sounds generated once: an interrupted run goes on where it stopped."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import msgspec

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.saving import limit_peak, save_audio
from stable_audio_open.evaluation.generations.whole import is_whole
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.files.json_lines import read_json_lines

MANIFEST = "generations.jsonl"
SETTINGS = "settings.json"

Generate: TypeAlias = Callable[[Sequence[str], Sequence[int], float], Audio]
"""Prompts, their seeds and seconds of sound -> as many sounds."""


class GenerationSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What sounds of one folder have in common.

    Raises:
        ValueError: When a number is out of its range.
    """

    model: str
    """As `load` takes it."""
    lora: tuple[str, ...] = ()
    """Adapters that were merged, each as FOLDER:WEIGHT."""
    weights: str | None = None
    """Hash of the model with them."""
    prompts: str
    """`caption` or `metadata`."""
    seed: int
    """Behind all seeds and prompts."""
    steps: int
    """Of sampling."""
    guidance: float
    """Guidance scale."""
    duration: float | None = None
    """Seconds; those of the recording where None, at most the window."""

    def __post_init__(self) -> None:
        if self.prompts not in ("caption", "metadata"):
            raise ValueError(f"prompts are {self.prompts!r}; allowed: caption, metadata")


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A sound to generate, and a line of the manifest."""

    file: str
    """Relative to the folder."""
    prompt: str
    seed: int
    seconds: float
    recording: str
    """Whose prompt it is, relative to the folder of the training set."""


def wanted_sound(
    recording: str, copy: int, *, prompt: str, seconds: float, settings: GenerationSettings
) -> Wanted:
    """Return the `copy`-th sound for a recording; its seed depends on nothing else.

    Args:
        recording: Relative to the folder of the training set.
        copy: From 0.
        prompt: What to generate.
        seconds: How much.
        settings: Their seed counts.
    """
    digest = hashlib.sha256(f"{settings.seed} {copy} {recording}".encode()).digest()
    return Wanted(
        file=f"{_words(recording)}_{copy}_{digest[:4].hex()}.flac",
        prompt=prompt,
        seed=int.from_bytes(digest[4:8], "big"),
        seconds=seconds,
        recording=recording,
    )


def make_generations(
    wanted: Sequence[Wanted],
    folder: Path,
    *,
    generate: Generate,
    settings: GenerationSettings,
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
        settings: Those of the folder's sounds.
        batch: At most so many at once.
        progress: Called after each sound that is there.

    Raises:
        ValueError: When the folder was begun with other settings, or its manifest cannot be read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    check_settings(folder, settings)
    known = _read_manifest(folder / MANIFEST)
    # Sounds of something else go before the manifest says that they are what is wanted.
    for sound in wanted:
        if known.pop(sound.file, None) != sound:
            (folder / sound.file).unlink(missing_ok=True)
    others = [sound for sound in known.values() if (folder / sound.file).is_file()]
    described = msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
    replace_bytes(folder / SETTINGS, described)
    lines = b"".join(msgspec.json.encode(sound) + b"\n" for sound in (*wanted, *others))
    replace_bytes(folder / MANIFEST, lines)
    for _, same in groupby(wanted, key=lambda sound: (sound.recording, sound.seconds)):
        sounds = list(same)
        for first in range(0, len(sounds), batch):
            together = sounds[first : first + batch]
            if not all(is_whole(folder / sound.file) for sound in together):
                audio = generate(
                    [sound.prompt for sound in together],
                    [sound.seed for sound in together],
                    together[0].seconds,
                )
                for item, sound in zip(audio, together, strict=True):
                    # Levels are not compared, so that turning down is worth no warning.
                    samples, _ = limit_peak(item.samples[0])
                    save_audio(folder / sound.file, samples, item.sample_rate)
            for _ in together:
                progress()


def make_reconstructions(
    hashes: Mapping[str, str],
    source: Path,
    folder: Path,
    *,
    reconstruct: Callable[[Path], Audio],
) -> list[Wanted]:
    """Write recordings as the autoencoder gives them back, those that the folder does not hold.

    Args:
        hashes: Of the audio of each file, which is relative to `source`; another recording of the
            same name is another sound.
        source: Folder of the recordings.
        folder: Made where it is missing.
        reconstruct: The autoencoder: path of a recording -> what comes back.

    Returns:
        One sound for each file; prompt and seed say nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for file, audio_hash in hashes.items():
        digest = hashlib.sha256(f"{audio_hash} {file}".encode()).hexdigest()
        name = f"{_words(file)}_{digest[:8]}.flac"
        if not is_whole(folder / name):
            audio = reconstruct(source / file)
            samples, _ = limit_peak(audio.samples[0])
            save_audio(folder / name, samples, audio.sample_rate)
        made.append(Wanted(file=name, prompt=file, seed=0, seconds=0.0, recording=file))
    return made


def check_settings(folder: Path, settings: GenerationSettings) -> None:
    """Check that the sounds of a folder, if it holds any, were made as those to come.

    Raises:
        ValueError: They were not.
    """
    path = folder / SETTINGS
    if not path.is_file():
        return
    try:
        before = msgspec.json.decode(path.read_bytes(), type=GenerationSettings)
    except msgspec.DecodeError as error:
        raise ValueError(f"{path}: {error}; choose another output folder") from error
    for name in settings.__struct_fields__:
        old, new = getattr(before, name), getattr(settings, name)
        if old != new:
            raise ValueError(
                f"{folder}: was begun with {name} {old!r}, got {new!r}; choose another output "
                "folder, or give the same"
            )


def _read_manifest(path: Path) -> dict[str, Wanted]:
    """Return what was wanted of each file; nothing where there is no manifest."""
    sounds = read_json_lines(
        path, Wanted, what="a sound", remedy="delete the file to make all sounds again"
    )
    return {sound.file: sound for sound in sounds}


def _words(recording: str) -> str:
    return re.sub(r"[^\w.-]+", "-", PurePosixPath(recording).stem)[:60]
