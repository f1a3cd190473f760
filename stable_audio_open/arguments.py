"""Types of arguments, checked where people call: one line with the name and what is wanted."""

from numbers import Integral, Real


def check_integer(value: object, name: str) -> None:
    """Check that an argument is an integer; NumPy's are.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r:.60} ({type_name(value)})")


def check_number(value: object, name: str) -> None:
    """Check that an argument is a number; NumPy's are.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r:.60} ({type_name(value)})")


def check_flag(value: object, name: str) -> None:
    """Check that an argument is True or False.

    Raises:
        TypeError: It is not.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r:.60} ({type_name(value)})")


def type_name(value: object) -> str:
    """Return the name of a value's type."""
    return type(value).__name__
