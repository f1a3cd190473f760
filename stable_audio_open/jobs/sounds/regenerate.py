"""A sound again, by the tags of its file."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import soundfile
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.writing.formats import Subtype
from stable_audio_open.audio.writing.tags import TagError, read_tags
from stable_audio_open.autoencoder.autoencoder import CORE_FRAMES
from stable_audio_open.checkpoint.lora.adapter import adapter_hash
from stable_audio_open.files.archives.tars import is_there
from stable_audio_open.files.hashes import file_hash
from stable_audio_open.jobs.target import check_apart, place_of, plan
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.recorded.hashes import DIGITS, config_hash, sound_hash, weights_of
from stable_audio_open.recorded.making import Making, from_json, making_of
from stable_audio_open.recorded.recorded import METHODS, arguments_of, sound_arguments
from stable_audio_open.version import VERSION

logger = logging.getLogger(__name__)

SUBTYPES: Mapping[str, Subtype] = {"PCM_16": "pcm16", "PCM_24": "pcm24", "FLOAT": "float"}
"""libsndfile's names of what is saved."""


class RegenerateRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A sound to make again, and where its inputs are now."""

    file: Path
    """File whose tags say how it was made."""
    output: Path = Path()
    """A file or a folder, in which the name is that of `file`."""
    model: str | None = None
    """Where the model is now; where the tags say, if None."""
    text_encoder: str | None = None
    """Where the text encoder is now; where the tags say, if None."""
    lora: tuple[str, ...] | None = None
    """Folders of the adapters now, in their order; where the tags say, if None."""
    sounds: Mapping[str, Path] = {}
    """Files of arguments that are sounds, by name: where the tags say, if not here."""
    device: str | None = None
    """Where to compute; as the tags say, if None."""
    overwrite: bool = False
    """Replace a file that exists."""


class Regenerated(NamedTuple):
    """What was made."""

    file: Path
    seconds: float
    same: bool | None
    """All samples of the new file equal those of the old one; None for another format."""


def regenerate(request: RegenerateRequest) -> Regenerated:
    """Make a sound again from the tags of its file, and compare the two.

    The samples are the same on the same machine with the same versions. Other weights or inputs
    than the tags' hashes are refused; other versions and devices are warned of.

    Raises:
        TagError: The tags are missing or cannot be used.
        ValueError: The model or an input is another one, or the output cannot be written to.
        OSError: A file cannot be read or written.
    """
    file = request.file
    making = _making(file)
    before, kind = _samples(file)
    is_alike = request.output.is_dir() or request.output.suffix.lower() in ("", file.suffix.lower())
    subtype = SUBTYPES.get(kind, "pcm24") if is_alike else "pcm24"
    target = plan(
        request.output,
        sounds=1,
        subtype=subtype,
        overwrite=request.overwrite,
        suffix=file.suffix,
    )
    settings = _settings(making, request)
    for recording in _recordings(making, request):
        check_apart(request.output, recording)
        target.kept.add(place_of(recording))
    model = _load(making, request)
    _warn_of_others(making, model, file)
    audio = _called(model, making, settings, file)
    (saved,) = target.save(audio, [file.name])
    same = bool(np.array_equal(before, _samples(saved)[0])) if is_alike else None
    return Regenerated(saved, audio.duration, same)


def _samples(path: Path) -> tuple[np.ndarray[Any, np.dtype[np.float64]], str]:
    """Return the samples of a file, and libsndfile's name of their kind."""
    # By its number: libsndfile takes names of UTF-8 alone.
    with path.open("rb") as file, soundfile.SoundFile(file.fileno(), closefd=False) as sound:
        return sound.read(), sound.subtype


def _making(file: Path) -> Making:
    """Return what the tags say, where this version can do it."""
    making = making_of(read_tags(file), file)
    if making.method not in METHODS:
        raise TagError(
            f"{file}: was made by {making.method!r}, which this version does not know; install "
            f"stable-audio-open {making.stable_audio_open}"
        )
    unknown = making.settings.keys() - arguments_of(_method(making)).keys()
    if unknown:
        raise TagError(
            f"{file}: was made with {min(unknown)!r}, which this version does not know; install "
            f"stable-audio-open {making.stable_audio_open}"
        )
    return making


def _method(making: Making) -> Callable[..., Audio]:
    method: Callable[..., Audio] = getattr(StableAudio, making.method)
    return method


def _settings(making: Making, request: RegenerateRequest) -> dict[str, Any]:
    """Return the arguments, with sounds from files of the right hashes."""
    sounds = sound_arguments(_method(making))
    for name in request.sounds:
        if name not in sounds & making.settings.keys():
            known = ", ".join(sorted(sounds & making.settings.keys())) or "none"
            raise ValueError(
                f"--sound {name}: {request.file} was made with no sound of this name, but with "
                f"{known}"
            )
    settings = {}
    for name, value in making.settings.items():
        if name in sounds:
            settings[name] = _sound(name, value, request)
        elif isinstance(value, dict) and isinstance(value.get("type"), str):
            raise TagError(
                f"{request.file}: was made with a {value['type']} as {name}, which tags cannot hold"
            )
        else:
            with _refused(request.file):
                settings[name] = from_json(value)
    return settings


def _sound(name: str, value: Any, request: RegenerateRequest) -> str | Audio:
    """Return an argument that is a sound: its file, or what is in it."""
    file, given = request.file, request.sounds.get(name)
    if (
        not isinstance(value, dict)
        or not {"sha256", "samples"} & value.keys()
        or not all(isinstance(part, str) for part in value.values())
    ):
        raise TagError(f"{file}: its tags do not say which sound {name} was")
    path = Path(value.get("file", "")) if given is None else given
    if given is None and not is_there(path):
        was = f"{path}, which is missing" if "file" in value else "a sound in memory"
        raise ValueError(f"{file}: {name} was {was}; give it as --sound {name}=FILE")
    found = Audio.load(path) if "samples" in value else path
    expected = value.get("samples", value.get("sha256"))
    digest = sound_hash(found) if isinstance(found, Audio) else file_hash(found)[:DIGITS]
    if digest != expected:
        raise ValueError(
            f"{path}: is not the {name} that {file} was made with (its hash is {digest}, that of "
            f"the other {expected}); give that one as --sound {name}=FILE"
        )
    return found if isinstance(found, Audio) else str(found)


def _recordings(making: Making, request: RegenerateRequest) -> list[Path]:
    """Return the files of the sounds that it was made with, which are there."""
    names = sound_arguments(_method(making)) & making.settings.keys()
    return [Path(request.sounds.get(name) or making.settings[name]["file"]) for name in names]


def _load(making: Making, request: RegenerateRequest) -> StableAudio:
    """Load the model, which must have the weights of the tags."""
    file, source = request.file, making.model
    name = request.model or source.name
    if not name:
        raise ValueError(
            f"{file}: was made by a model in memory (weights {making.weights}); save it by "
            "save_pretrained, and give it as --model"
        )
    told = [(folder, digest) for folder, _, digest in source.lora]
    told += [(one.folder, one.hash) for one in source.adapters]
    folders = [folder for folder, _ in told] if request.lora is None else request.lora
    if len(folders) != len(told):
        raise ValueError(
            f"{file}: was made with {len(told)} adapters, got {len(folders)}; give each of "
            "them as --lora, in their order"
        )
    for folder, (before, expected) in zip(folders, told, strict=True):
        digest = adapter_hash(folder)
        if digest != expected:
            raise ValueError(
                f"{folder}: is not the adapter {before} that {file} was made with (its hash is "
                f"{digest}, that of the other {expected}); give that one as --lora"
            )
    merged, limited = folders[: len(source.lora)], folders[len(source.lora) :]
    model = StableAudio.from_pretrained(
        name,
        device=request.device or making.device,
        dtype=making.dtype,
        text_encoder=request.text_encoder or source.text_encoder,
        use_ema=source.use_ema,
        attention=source.attention,
        lora=[(folder, one[1]) for folder, one in zip(merged, source.lora, strict=True)],
        variant=source.variant,
        revision=None if request.model else source.revision,
    )
    weights = weights_of(model)
    if weights != making.weights:
        raise ValueError(
            f"{file}: was made by weights {making.weights}, {name} has {weights}; give that model "
            "as --model, and its text encoder as --text-encoder"
        )
    for folder, one in zip(limited, source.adapters, strict=True):
        with _refused(file):
            model.load_adapter(folder, name=one.name, **one.options())
    return model


def _called(model: StableAudio, making: Making, settings: dict[str, Any], file: Path) -> Audio:
    """Return the item as it was before it was saved."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(making.threads)
    torch.set_float32_matmul_precision(making.matmul)
    try:
        with _refused(file):
            batch: Audio = getattr(model, making.method)(**settings, progress=False)
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)
    if making.item not in range(len(batch)):
        raise TagError(f"{file}: was item {making.item} of a batch, which has {len(batch)}")
    # The tags tell every step, a fade among them.
    audio = replace(batch[making.item], fade=0.0)
    for steps in making.finishing:
        with _refused(file):
            audio = audio.finish(**steps)
    return audio


@contextmanager
def _refused(file: Path) -> Iterator[None]:
    """Say of what the tags ask for and nobody can make whose tags these are.

    Raises:
        TagError: Something was refused.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise TagError(f"{file}: its tags ask for what cannot be made: {error}") from error


def _warn_of_others(making: Making, model: StableAudio, file: Path) -> None:
    """Say what differs from when the sound was made, and can change its last digits or more."""
    found = {
        "stable-audio-open": (making.stable_audio_open, VERSION),
        "torch": (making.torch, str(torch.__version__)),
        "device": (making.device, str(model.device)),
        "configuration": (making.config, config_hash(model)),
        "chunks of": (str(making.chunk), str(CORE_FRAMES)),
    }
    others = [f"{name} {was}, now {now}" for name, (was, now) in found.items() if was != now]
    if others:
        logger.warning("%s: was made by %s: samples may differ", file, "; by ".join(others))
