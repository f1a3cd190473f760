"""Methods whose sounds carry how they were made."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar, get_args

import msgspec
import torch
from msgspec.structs import replace as replace_fields

from stable_audio_open.arguments.keywords import (
    bound_arguments,
    check_keywords,
    types_of_arguments,
)
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.given import converted
from stable_audio_open.audio.writing.tags import Tags
from stable_audio_open.autoencoder.autoencoder import CORE_FRAMES
from stable_audio_open.diffusion.adapters import AdapterUse
from stable_audio_open.files.hashes import file_hash
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.recorded.hashes import DIGITS, config_hash, sound_hash, weights_of
from stable_audio_open.recorded.making import Making, Source, UsedAdapter, as_json
from stable_audio_open.recorded.prompts import in_words, prompts_of_items
from stable_audio_open.request.sampling_settings import SamplingOptions, resolve_sampling
from stable_audio_open.version import VERSION

P = ParamSpec("P")
Model = TypeVar("Model", bound=LatentDiffusion)

SHOWN_ALONE = ("progress", "callback")
"""Arguments that change no sample."""
OF_THE_SOURCE = ("adapters",)
"""Arguments that are told with the model."""
METHODS: set[str] = set()
"""Names of the methods whose sounds carry how they were made."""


PromptsOfItems: TypeAlias = Callable[[Any, int], Sequence[object]]
"""From the argument `prompt` and the number of items to what each was made from."""


def recorded(
    method: Callable[Concatenate[Model, P], Audio], *, prompts: PromptsOfItems = prompts_of_items
) -> Callable[Concatenate[Model, P], Audio]:
    """Have the sounds of a method carry how they were made.

    Args:
        method: Its arguments may end with options of sampling, whose defaults are the model's.
        prompts: What each item is made from.
    """
    METHODS.add(method.__name__)

    @wraps(method)
    def call(model: Model, /, *args: P.args, **kwargs: P.kwargs) -> Audio:
        check_keywords(method, kwargs)
        bound = bound_arguments(method, (model, *args), kwargs)
        audio = method(model, *args, **kwargs)
        bound.apply_defaults()
        given = dict(list(bound.arguments.items())[1:])
        for parameter in signature(method).parameters.values():
            if parameter.kind is Parameter.VAR_KEYWORD:
                given |= given.pop(parameter.name)
        of_items = prompts(given.get("prompt"), len(audio))
        return replace(audio, tags=_tags(model, method, given, audio=audio, prompts=of_items))

    return call


def arguments_of(method: Callable[..., Audio]) -> dict[str, Any]:
    """Return the types of a method's arguments that change a sound, by name."""
    found = types_of_arguments(method)
    return {name: hint for name, hint in found.items() if name not in SHOWN_ALONE}


def sound_arguments(method: Callable[..., Audio]) -> frozenset[str]:
    """Return the names of a method's arguments that are sounds."""
    return frozenset(
        name for name, hint in arguments_of(method).items() if Audio in (hint, *get_args(hint))
    )


def _tags(
    model: LatentDiffusion,
    method: Callable[..., Audio],
    given: dict[str, Any],
    *,
    audio: Audio,
    prompts: Sequence[object],
) -> tuple[Tags, ...]:
    """Return how each item was made."""
    sounds, taken = sound_arguments(method), arguments_of(method)
    sampling = {name: given.get(name) for name in SamplingOptions.__annotations__ if name in taken}
    resolved = resolve_sampling(model, sampling)  # type: ignore[arg-type]
    known = {name: getattr(resolved, name) for name in sampling}
    settings = {
        name: _sound(value) if name in sounds else as_json(value)
        for name, value in {**given, **known, "seed": audio.seeds}.items()
        if name not in (*SHOWN_ALONE, *OF_THE_SOURCE) and value is not None
    }
    making = Making(
        stable_audio_open=VERSION,
        torch=str(torch.__version__),
        prompt="",
        seed=0,
        item=0,
        method=method.__name__,
        settings=settings,
        model=replace_fields(
            getattr(model, "source", None) or Source(),
            adapters=used_adapters(model, resolved.adapters),
        ),
        weights=weights_of(model),
        dtype=model.precision,
        device=str(model.device),
        threads=torch.get_num_threads(),
        chunk=CORE_FRAMES,
        matmul=torch.get_float32_matmul_precision(),
        config=config_hash(model),
    )
    return tuple(
        msgspec.to_builtins(replace_fields(making, prompt=in_words(prompt), seed=seed, item=item))
        for item, (prompt, seed) in enumerate(zip(prompts, audio.seeds, strict=True))
    )


def used_adapters(model: LatentDiffusion, uses: Sequence[AdapterUse]) -> tuple[UsedAdapter, ...]:
    """Return what tags say of the adapters that take part."""
    return tuple(
        UsedAdapter(
            name=use.name,
            folder=adapter.folder,
            hash=adapter.digest,
            weight=use.weight,
            interval=(use.interval[0], None if use.interval[1] == math.inf else use.interval[1]),
            layers=use.layers,
        )
        for use, adapter in model.adapter_set.effective(uses)
    )


def _sound(value: object) -> dict[str, str]:
    """Return the hash of a sound: of its file where it came as one, else of its samples."""
    match value:
        case str() | os.PathLike():
            return {"file": os.fspath(value), "sha256": file_hash(Path(value))[:DIGITS]}
        case Audio():
            return {"samples": sound_hash(value)}
        case _:
            return {"samples": sound_hash(converted(value, "sound"))}
