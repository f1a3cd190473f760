"""From an order to sounds, on the model of a worker."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from msgspec.structs import asdict

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.finishing import Finishing
from stable_audio_open.audio.writing.tags import Tags
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.sampling import StepCallback
from stable_audio_open.service.models import ServedModels
from stable_audio_open.service.requests import ADAPTERS, AUDIO
from stable_audio_open.service.work.batching import joined_arguments, parted
from stable_audio_open.service.work.loaded import LoadedModels
from stable_audio_open.service.work.messages import Order

OnPiece = Callable[[Audio], None]
"""Takes each piece of a sound that is streamed."""


def make_sounds(
    models: LoadedModels,
    orders: Sequence[Order],
    *,
    callback: StepCallback,
    on_piece: OnPiece,
) -> list[Audio]:
    """Return the sounds of each order; several are made together.

    Args:
        models: Models of this worker.
        orders: One, or several that are alike.
        callback: Called after each step.
        on_piece: Called with each piece of a stream.

    Raises:
        ValueError: An argument does not go with the model.
        TypeError: An argument is of a wrong type.
        FloatingPointError: The model gives NaN.
        StoppedError: The callback has stopped the run.
    """
    order, *others = orders
    request = order.request
    model = models.get(request.model)
    if others:
        requests = [one.request for one in orders]
        arguments = joined_arguments(requests)
        audio = model.generate(**arguments, **_adapters(order), progress=False, callback=callback)
        made = parted(audio, requests, arguments)
    else:
        made = [_make(model, order, callback=callback, on_piece=on_piece)]
    return [
        _public(_finished(audio, one), models.served, one)
        for audio, one in zip(made, orders, strict=True)
    ]


def _make(model: StableAudio, order: Order, *, callback: StepCallback, on_piece: OnPiece) -> Audio:
    request = order.request
    arguments = {**request.given(), **order.sounds, **_adapters(order)}
    if request.method == "reconstruct":
        return _reconstructed(model, order)
    if request.stream:
        return _streamed(model, arguments, callback=callback, on_piece=on_piece)
    made: Audio = getattr(model, request.method)(**arguments, progress=False, callback=callback)
    return made


def _adapters(order: Order) -> dict[str, Any]:
    """Return the argument that says how adapters take part, if any does."""
    adapters = order.request.adapters
    return {ADAPTERS: dict(adapters)} if adapters else {}


def _reconstructed(model: StableAudio, order: Order) -> Audio:
    autoencoder = model.autoencoder
    audio = read_audio(
        order.sounds[AUDIO],
        sample_rate=autoencoder.sample_rate,
        channels=autoencoder.audio_channels,
    )
    with torch.inference_mode():
        samples = autoencoder.reconstruct(audio.samples)
    return Audio(samples.clone(), autoencoder.sample_rate)


def _streamed(
    model: StableAudio, arguments: Mapping[str, Any], *, callback: StepCallback, on_piece: OnPiece
) -> Audio:
    pieces = []
    for piece in model.stream(**arguments, progress=False, callback=callback):
        on_piece(piece)
        pieces.append(piece)
    samples = torch.cat([piece.samples for piece in pieces], dim=-1)
    return Audio(samples, pieces[0].sample_rate, pieces[0].seeds)


def _finished(audio: Audio, order: Order) -> Audio:
    finishing = order.request.finishing
    return audio if finishing == Finishing() else audio.finish(**asdict(finishing))


def _public(audio: Audio, served: ServedModels, order: Order) -> Audio:
    """Return sounds whose tags call models, adapters and sounds by name, not by their place."""
    return replace(audio, tags=tuple(_public_tags(tags, served, order) for tags in audio.tags))


def _public_tags(tags: Tags, served: ServedModels, order: Order) -> Tags:
    names = {source: name for name, source in (*served.models, *served.adapters)}
    model: dict[str, Any] = dict(tags.get("model", {}))  # type: ignore[call-overload]
    for place in ("name", "text_encoder"):
        if place in model:
            model[place] = names.get(model[place], _last_part(model[place]))
    if "adapters" in model:
        model["adapters"] = [{**one, "folder": names[one["folder"]]} for one in model["adapters"]]
    settings: dict[str, Any] = dict(tags.get("settings", {}))  # type: ignore[call-overload]
    for argument, path in order.sounds.items():
        settings[argument] = {**settings[argument], "file": path.name}
    return {**tags, "model": model, "settings": settings}


def _last_part(source: str) -> str:
    return source.replace("\\", "/").rstrip("/").rpartition("/")[-1]
