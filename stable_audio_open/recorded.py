"""How a sound was made, as the tags of its file: model, settings, and hashes of what went in."""

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import wraps
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Concatenate,
    ParamSpec,
    TypeVar,
    get_args,
    get_type_hints,
)
from weakref import WeakKeyDictionary

import msgspec
import torch
from msgspec.structs import replace as replace_fields
from torch import nn

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.given import as_audio
from stable_audio_open.audio.tags import MARK, TagError, Tags
from stable_audio_open.autoencoder.autoencoder import CORE_FRAMES
from stable_audio_open.evaluation.weights import module_hash
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.sampling_settings import SamplingOptions, resolve_sampling

P = ParamSpec("P")
Model = TypeVar("Model", bound=LatentDiffusion)

SHOWN_ALONE = ("progress", "callback")
"""Arguments that change no sample."""
DIGITS = 16
"""Hexadecimal digits of a hash."""
METHODS: set[str] = set()
"""Names of the methods whose sounds carry how they were made."""


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model was loaded from, in the words of `load`."""

    name: str = ""
    """Source of the model; empty where it was built in memory."""
    use_ema: bool = True
    """The averaged weights of a training checkpoint were taken."""
    text_encoder: str | None = None
    """Source of the text encoder; None for the one that the model brings or names."""
    attention: str = "sdpa"
    """Backend of attention."""
    lora: tuple[tuple[str, float, str], ...] = ()
    """Folder, weight and hash of each adapter that was merged."""


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """How an item was made: all that its samples depend on but the machine.

    The names are those of the tags, in their order.
    """

    stable_audio_open: str
    """Version of this library."""
    torch: str
    """Version of PyTorch."""
    prompt: str
    """Text that the item was made from."""
    seed: int
    """Seed of its noise."""
    item: int
    """Its place in the batch, whose other items change its last digits."""
    method: str
    """Method of the model that was called."""
    settings: dict[str, Any]
    """Arguments of the whole batch, as JSON, with what stood for None where the model has a value
    of its own."""
    model: Source
    """What the model was loaded from."""
    weights: str
    """Hash of all parameters and buffers, adapters merged."""
    dtype: str
    """Number format of the transformer's weights."""
    device: str
    """Where it computed."""
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    """CPU threads."""
    chunk: int
    """Latent frames that the autoencoder encodes or decodes at once."""
    matmul: Annotated[str, msgspec.Meta(pattern="^(highest|high|medium)$")]
    """PyTorch's precision of products of float32 matrices: `highest` unless it was lowered."""
    config: str
    """Hash of the model's configuration; empty where it has none."""
    finishing: tuple[dict[str, Any], ...] = ()
    """Arguments of each `Audio.finish` since."""


def recorded(
    method: Callable[Concatenate[Model, P], Audio],
) -> Callable[Concatenate[Model, P], Audio]:
    """Have the sounds of a method carry how they were made."""
    METHODS.add(method.__name__)

    @wraps(method)
    def call(model: Model, /, *args: P.args, **kwargs: P.kwargs) -> Audio:
        bound = signature(method).bind(model, *args, **kwargs)
        audio = method(model, *args, **kwargs)
        bound.apply_defaults()
        given = dict(list(bound.arguments.items())[1:])
        for parameter in signature(method).parameters.values():
            if parameter.kind is Parameter.VAR_KEYWORD:
                given |= given.pop(parameter.name)
        return replace(audio, tags=_tags(model, method, given, audio))

    return call


def version() -> str:
    """Return the version of this library."""
    # Its module imports the public names from here.
    return str(import_module("stable_audio_open").__version__)


def arguments_of(method: Callable[..., Audio]) -> dict[str, Any]:
    """Return the types of a method's arguments that change a sound, by name."""
    hints = get_type_hints(method)
    found: dict[str, Any] = {}
    for name, parameter in list(signature(method).parameters.items())[1:]:
        if parameter.kind is Parameter.VAR_KEYWORD:
            (options,) = get_args(hints[name])
            found |= get_type_hints(options)
        else:
            found[name] = hints[name]
    return {name: hint for name, hint in found.items() if name not in SHOWN_ALONE}


def sound_arguments(method: Callable[..., Audio]) -> frozenset[str]:
    """Return the names of a method's arguments that are sounds."""
    return frozenset(
        name for name, hint in arguments_of(method).items() if Audio in (hint, *get_args(hint))
    )


def weights_of(model: nn.Module) -> str:
    """Return the hash of all parameters and buffers, which is kept until one of them changes."""
    tensors = [*model.parameters(), *model.buffers()]
    if any(tensor.is_inference() for tensor in tensors):  # whose changes are not counted
        return module_hash(model)
    state = [(tensor.data_ptr(), tensor.dtype, tensor._version) for tensor in tensors]
    known = _HASHES.get(model)
    if known is None or known[0] != state:
        known = _HASHES[model] = (state, module_hash(model))
    return known[1]


_HASHES: WeakKeyDictionary[nn.Module, tuple[list[Any], str]] = WeakKeyDictionary()


def config_hash(model: nn.Module) -> str:
    """Return the hash of a model's configuration; empty where it has none."""
    config = getattr(model, "config", None)
    if config is None:
        return ""
    return hashlib.sha256(msgspec.json.encode(config)).hexdigest()[:DIGITS]


def sound_hash(audio: Audio) -> str:
    """Return the hash of samples and rate."""
    samples = audio.samples.detach().cpu().contiguous().flatten()
    digest = hashlib.sha256(f"{audio.sample_rate} {list(audio.samples.shape)}\n".encode())
    digest.update(samples.numpy().tobytes())
    return digest.hexdigest()[:DIGITS]


def file_hash(path: str | os.PathLike[str]) -> str:
    """Return the hash of a file.

    Raises:
        OSError: It cannot be read.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]


def making_of(tags: Tags, path: Path) -> Making:
    """Return what the tags of a file say.

    Raises:
        TagError: They are not as this library writes them.
    """
    try:
        return msgspec.convert(tags, Making)
    except msgspec.ValidationError as error:
        raise TagError(
            f"{path}: its tags are not whole ({error}); they were written by stable-audio-open "
            f"{tags.get(MARK)}, or changed since"
        ) from error


def from_json(value: object) -> Any:
    """Return a value of `Making.settings` as it was given; lists are tuples."""
    match value:
        case {"number": str(text)}:
            return float(text)
        case dict():
            return {name: from_json(part) for name, part in value.items()}
        case list() | tuple():
            return tuple(from_json(part) for part in value)
        case _:
            return value


def _tags(
    model: LatentDiffusion, method: Callable[..., Audio], given: dict[str, Any], audio: Audio
) -> tuple[Tags, ...]:
    """Return how each item was made."""
    sounds = sound_arguments(method)
    left_open = {name: given[name] for name in SamplingOptions.__annotations__ if name in given}
    resolved = resolve_sampling(model, left_open) if left_open else None  # type: ignore[arg-type]
    known = {name: getattr(resolved, name) for name in left_open}
    settings = {
        name: _sound(value) if name in sounds else _as_json(value)
        for name, value in {**given, **known, "seed": audio.seeds}.items()
        if name not in SHOWN_ALONE and value is not None
    }
    making = Making(
        stable_audio_open=version(),
        torch=str(torch.__version__),
        prompt="",
        seed=0,
        item=0,
        method=method.__name__,
        settings=settings,
        model=getattr(model, "source", None) or Source(),
        weights=weights_of(model),
        dtype=str(model.transformer.dtype).removeprefix("torch."),
        device=str(model.device),
        threads=torch.get_num_threads(),
        chunk=CORE_FRAMES,
        matmul=torch.get_float32_matmul_precision(),
        config=config_hash(model),
    )
    prompts = [
        _prompt(given.get("prompt"), item=item, items=len(audio)) for item in range(len(audio))
    ]
    return tuple(
        msgspec.to_builtins(replace_fields(making, prompt=prompt, seed=seed, item=item))
        for item, (prompt, seed) in enumerate(zip(prompts, audio.seeds, strict=True))
    )


def _prompt(value: object, *, item: int, items: int) -> str:
    """Return what one item was made from, in words."""
    if isinstance(value, list | tuple) and len(value) == items:
        value = value[item]
    return value if isinstance(value, str) else json.dumps(_as_json(value))


def _as_json(value: object) -> Any:
    """Return a value as JSON knows it; what it does not know by its type."""
    match value:
        case float() if not math.isfinite(value):
            return {"number": str(value)}
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [_as_json(part) for part in value]
        case Mapping():
            return {str(name): _as_json(part) for name, part in value.items()}
        case os.PathLike():
            return os.fspath(value)
        case _:
            return {"type": type(value).__name__}


def _sound(value: object) -> dict[str, str]:
    """Return the hash of a sound: of its file where it came as one, else of its samples."""
    match value:
        case str() | os.PathLike():
            return {"file": os.fspath(value), "sha256": file_hash(value)}
        case Audio():
            return {"samples": sound_hash(value)}
        case _:
            return {"samples": sound_hash(as_audio(value, "sound"))}  # type: ignore[arg-type]
