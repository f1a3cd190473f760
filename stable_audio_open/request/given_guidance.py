"""Guidance scales as they are given: a number, points over the noise level, or one per item."""

import math
from collections.abc import Sequence
from typing import TypeAlias, TypeGuard, cast

from stable_audio_open.arguments.checks import (
    check_count,
    check_number,
    check_pair,
    is_list,
    is_pair,
    wrong_type,
)

GivenPoints: TypeAlias = Sequence[tuple[float, float]]
"""Points (sigma, scale), between which the scale is linear in the model's time."""
GivenScale: TypeAlias = float | GivenPoints | Sequence[float | GivenPoints | None]
"""Of all items, or one per item, of which None is the model's default."""

Points: TypeAlias = tuple[tuple[float, float], ...]
ItemScale: TypeAlias = float | Points
"""A scale, or points (sigma, scale)."""
Scales: TypeAlias = ItemScale | tuple[ItemScale, ...]
"""Of all items, or of each."""

NAME = "guidance_scale"


def check_scales(value: object, *, default: float) -> Scales:
    """Return guidance scales, checked.

    Args:
        value: As it is given.
        default: What stands for None.

    Raises:
        TypeError: A part is of a wrong type.
        ValueError: A number is out of its range, or there is none.
    """
    if not is_list(value):
        return _check_item(value, default)
    if not value:
        raise ValueError(f"{NAME} is an empty list; give at least one number")
    if _is_points(value):
        return _check_item(value, default)
    return tuple(_check_item(one, default) for one in value)


def each_scale(scales: Scales) -> list[ItemScale]:
    """Return the scales of a list, or the one of all items."""
    if not isinstance(scales, tuple):
        return [scales]
    if _is_points(scales):
        return [cast(Points, scales)]
    return [cast(ItemScale, one) for one in scales]


def scales_of(scales: Scales, *, items: int) -> list[ItemScale]:
    """Return the scale of each item.

    Raises:
        ValueError: There are not as many as items.
    """
    found = each_scale(scales)
    if found == [scales]:
        return found * items
    check_count(len(found), NAME, items=items)
    return found


def is_one(scale: ItemScale) -> bool:
    """Tell whether a scale is 1 everywhere, where guidance does nothing."""
    return all(one == 1 for _, one in scale) if isinstance(scale, tuple) else scale == 1


def _check_item(value: object, default: float) -> ItemScale:
    if value is None:
        return default
    if _is_points(value):
        return tuple(_check_point(*check_pair(point, NAME)) for point in value)
    if is_list(value):
        wanted = "a number or points [(sigma, scale), ...], for all items or for each"
        raise wrong_type(value, NAME, wanted)
    return check_number(value, NAME)


def _check_point(sigma: float, scale: float) -> tuple[float, float]:
    if not 0 < sigma < math.inf:
        raise ValueError(f"{NAME} has a point at sigma {sigma}; it must be above 0")
    return sigma, scale


def _is_points(value: object) -> TypeGuard[Sequence[Sequence[object]]]:
    return is_list(value) and len(value) > 0 and all(map(is_pair, value))
