"""Types of arguments, checked where people call: one line with the name and what is wanted."""

import os
from collections.abc import Callable, Sequence
from decimal import ROUND_DOWN, Decimal
from numbers import Integral, Real
from typing import TypeGuard, TypeVar

Value = TypeVar("Value")

SHOWN = 60
"""Characters of a value that an error shows."""


def check_integer(value: object, name: str) -> int:
    """Return an argument that is an integer, NumPy's too, as Python's.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise wrong_type(value, name, "an integer")
    return int(value)


def check_number(value: object, name: str) -> float:
    """Return an argument that is a number, NumPy's too, as Python's.

    Raises:
        TypeError: It is none.
        ValueError: It is an integer beyond all floats.
    """
    if not is_number(value):
        raise wrong_type(value, name, "a number")
    try:
        float(value)
    except OverflowError as error:
        raise ValueError(f"{name} must be a smaller number, got {shown(value)}") from error
    return int(value) if isinstance(value, Integral) else float(value)


def check_flag(value: object, name: str) -> bool:
    """Return an argument that is True or False.

    Raises:
        TypeError: It is neither.
    """
    if not isinstance(value, bool):
        raise wrong_type(value, name, "True or False")
    return value


def check_name(value: object, name: str) -> str:
    """Return an argument that is a name.

    Raises:
        TypeError: It is no string.
    """
    if not isinstance(value, str):
        raise wrong_type(value, name, "a name")
    return value


def check_path(value: object, name: str) -> str:
    """Return an argument that is a path, or a name in its place, as text.

    Raises:
        TypeError: It is neither a string nor a path.
    """
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise wrong_type(value, name, "a path")
    return os.fspath(value)


def check_function(value: object, name: str) -> None:
    """Check that an argument can be called, or is None.

    Raises:
        TypeError: It cannot.
    """
    if value is not None and not callable(value):
        raise wrong_type(value, name, "a function")


def check_pair(value: object, name: str) -> tuple[float, float]:
    """Return an argument that is two numbers.

    Raises:
        TypeError: It is something else.
    """
    if not is_pair(value):
        raise wrong_type(value, name, "a pair of numbers")
    low, high = value
    return check_number(low, name), check_number(high, name)


def check_each(
    value: object, name: str, check: Callable[[object, str], Value], *, items: int
) -> list[Value]:
    """Return an argument that is one value for all items, or a list of one per item, as a list.

    Raises:
        TypeError: A value is of a wrong type.
        ValueError: There are not as many as items.
    """
    if not is_list(value):
        return [check(value, name)] * items
    found = [check(one, name) for one in value]
    check_count(len(found), name, items=items)
    return found


def check_count(count: int, name: str, *, items: int) -> None:
    """Check that a list has one value per item.

    Raises:
        ValueError: It has not.
    """
    if count != items:
        raise ValueError(f"give one {name} or one per item, got {count} for {items} items")


def is_number(value: object) -> TypeGuard[float]:
    """Tell whether this is a number, Python's or NumPy's; True, False and arrays are none."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Tell whether this is a list or a tuple; texts, arrays and tensors are neither."""
    return isinstance(value, list | tuple)


def is_pair(value: object) -> TypeGuard[tuple[float, float]]:
    """Tell whether this is a list or a tuple of two numbers."""
    return is_list(value) and len(value) == 2 and all(map(is_number, value))


def wrong_type(value: object, name: str, wanted: str) -> TypeError:
    """Return the error for an argument of a wrong type."""
    return TypeError(f"{name} must be {wanted}, got {shown(value)} ({type_name(value)})")


def rounded_down(limit: float, digits: int = 3) -> str:
    """Return a limit as an error shows it: what is read there is not above it."""
    return str(Decimal(str(limit)).quantize(Decimal(1).scaleb(-digits), rounding=ROUND_DOWN))


def shown(value: object) -> str:
    """Return a value as an error shows it: in one line that is not too long."""
    return " ".join(f"{value!r:.200}".split())[:SHOWN]


def type_name(value: object) -> str:
    """Return the name of a value's type."""
    return type(value).__name__
