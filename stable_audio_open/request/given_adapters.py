"""Adapters as they are given: weights by name, or settings with an interval and layers."""

import math
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import TypeAlias, TypedDict

from stable_audio_open.arguments.checks import (
    check_name,
    check_number,
    check_pair,
    is_list,
    is_number,
    wrong_type,
)
from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.diffusion.adapters import AdapterUse


class AdapterOptions(TypedDict, total=False):
    """How an adapter takes part; what is missing limits nothing."""

    weight: float
    interval: tuple[float, float]
    layers: Sequence[int | str] | None


GivenAdapter: TypeAlias = float | AdapterOptions
"""A weight, 1 for the full effect, or more than that."""
GivenAdapters: TypeAlias = Mapping[str, GivenAdapter]
"""Adapters by name."""

WANTED = 'a weight, or settings such as {"weight": 0.5, "interval": (1, 80), "layers": [0, 1]}'


def check_uses(value: object, name: str) -> tuple[AdapterUse, ...]:
    """Return how adapters are to take part.

    Args:
        value: As it is given.
        name: Of the argument.

    Raises:
        TypeError: A part is of a wrong type.
        ValueError: A number is out of its range, or a setting is unknown.
    """
    if not isinstance(value, Mapping):
        raise wrong_type(value, name, f"adapters by name, each with {WANTED}")
    return tuple(check_use(settings, check_name(one, name)) for one, settings in value.items())


def check_use(value: object, name: str) -> AdapterUse:
    """Return how an adapter is to take part.

    Args:
        value: A weight or settings.
        name: Of the adapter.

    Raises:
        TypeError: A part is of a wrong type.
        ValueError: A number is out of its range, or a setting is unknown.
    """
    if is_number(value):
        value = {"weight": value}
    if not isinstance(value, Mapping):
        raise wrong_type(value, f"the adapter {name!r}", WANTED)
    known = AdapterOptions.__annotations__
    for key in value:
        if key not in known:
            near = did_you_mean(str(key), known) or f"; allowed: {', '.join(known)}"
            raise ValueError(f"the adapter {name!r} has no setting {key!r}{near}")
    weight = check_number(value.get("weight", 1.0), f"the weight of adapter {name!r}")
    if not math.isfinite(weight):
        raise ValueError(f"the weight of adapter {name!r} must be a finite number, got {weight}")
    what = f"the interval of adapter {name!r}"
    low, high = check_pair(value.get("interval", (0.0, math.inf)), what)
    if not 0 <= low <= high:
        raise ValueError(
            f"{what} must be (low, high) in sigma with 0 <= low <= high, got ({low}, {high})"
        )
    layers = _check_layers(value.get("layers"), f"the layers of adapter {name!r}")
    return AdapterUse(name, float(weight), (float(low), float(high)), layers)


def _check_layers(value: object, name: str) -> tuple[int | str, ...] | None:
    if value is None:
        return None
    if not is_list(value):
        raise wrong_type(value, name, "a list of blocks' numbers and patterns of names")
    if not value:
        raise ValueError(f"{name} are an empty list; give at least one, or a weight of 0")
    return tuple(_check_layer(one, name) for one in value)


def _check_layer(value: object, name: str) -> int | str:
    if isinstance(value, str):
        return str(value)
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise wrong_type(value, name, "numbers of blocks and patterns of names")
    if value < 0:
        raise ValueError(f"{name} must be numbers from 0 on, got {value}")
    return int(value)
