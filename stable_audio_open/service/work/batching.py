"""Requests of one shape, made together: each sound is what its own seed gives alone, to 1e-4.

On one CPU core four sounds of the bundled model (1 s, 8 steps) take 0.95 of the time that they take
one by one, so that it is off unless it is asked for; only alone are sounds the same bit by bit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from stable_audio_open.audio.audio import Audio
from stable_audio_open.diffusion.samplers.k_diffusion import check_items
from stable_audio_open.editing.timeline import count_items, has_timeline
from stable_audio_open.recorded.making import as_json
from stable_audio_open.request.request import check_seeds
from stable_audio_open.service.requests import SoundRequest

OF_ITEMS = ("prompt", "negative_prompt", "seed")
"""Arguments of which each item has its own."""


def shape_of(request: SoundRequest) -> bytes | None:
    """Return what requests share that can be made together; None of one that is made alone."""
    given = request.given()
    if (
        request.method != "generate"
        or request.sounds
        or request.stream
        or request.preview_every
        or has_timeline(given["prompt"])
    ):
        return None
    shared = {name: value for name, value in given.items() if name not in OF_ITEMS}
    if any(isinstance(shared.get(name), list | tuple) for name in ("duration", "guidance_scale")):
        return None
    if any(isinstance(one, list | tuple) for one in dict(given.get("conditions", {})).values()):
        return None
    try:
        check_items(str(shared.get("sampler")), 2)
    except ValueError:
        return None
    key = as_json([request.model, request.adapters, shared])
    return msgspec.json.encode(key, order="deterministic")


def joined_arguments(requests: Sequence[SoundRequest]) -> dict[str, Any]:
    """Return the arguments of `generate` for requests of one shape."""
    first = requests[0].given()
    prompts: list[Any] = []
    negatives: list[Any] = []
    seeds: list[int] = []
    for request in requests:
        given, count = request.given(), items_of(request)
        prompts += _each(given["prompt"], count)
        negatives += _each(given.get("negative_prompt"), count)
        seeds += check_seeds(given.get("seed"), count)
    shared = {name: value for name, value in first.items() if name not in OF_ITEMS}
    if any(negative is not None for negative in negatives):
        shared["negative_prompt"] = negatives
    return {**shared, "prompt": prompts, "seed": seeds}


def parted(
    audio: Audio, requests: Sequence[SoundRequest], arguments: Mapping[str, Any]
) -> list[Audio]:
    """Return the sounds of each request, whose tags tell nothing of the others.

    Args:
        audio: What the joined arguments gave.
        requests: Requests, in the order in which they were joined.
        arguments: The joined arguments.
    """
    found, place = [], 0
    for request in requests:
        count = items_of(request)
        part = audio[place : place + count]
        own = {name: request.given()[name] for name in OF_ITEMS if name in request.given()}
        own["seed"] = arguments["seed"][place : place + count]
        tags = [
            {
                **tags,
                "item": index,
                "settings": {
                    **{k: v for k, v in dict(tags["settings"]).items() if k not in OF_ITEMS},  # type: ignore[call-overload]
                    **{name: as_json(value) for name, value in own.items()},
                },
            }
            for index, tags in enumerate(part.tags)
        ]
        found.append(replace(part, tags=tuple(tags)))
        place += count
    return found


def items_of(request: SoundRequest) -> int:
    """Return how many sounds a request is for."""
    return count_items(request.arguments["prompt"])


def _each(value: Any, count: int) -> list[Any]:
    """Return a prompt for each item."""
    if isinstance(value, list | tuple) and not _is_mixture(value):
        return [*value] * (count if len(value) == 1 else 1)
    return [value] * count


def _is_mixture(value: Sequence[Any]) -> bool:
    return all(isinstance(part, tuple) and len(part) == 2 for part in value)
