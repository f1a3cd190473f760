"""Names of a function's arguments, those of typed options among them, and names that are none."""

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, signature
from types import MappingProxyType
from typing import Any, get_args, get_type_hints

from stable_audio_open.arguments.nearest import did_you_mean

NO_REASONS: Mapping[str, str] = MappingProxyType({})


def types_of_arguments(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the type of each argument by its name, all but the first's."""
    hints = get_type_hints(function)
    found: dict[str, Any] = {}
    for name, parameter in list(signature(function).parameters.items())[1:]:
        if parameter.kind is Parameter.VAR_KEYWORD:
            (options,) = get_args(hints[name])
            found |= get_type_hints(options)
        else:
            found[name] = hints[name]
    return found


def check_keywords(
    function: Callable[..., Any], given: Iterable[str], *, reasons: Mapping[str, str] = NO_REASONS
) -> None:
    """Check that a function has all arguments that are given by name.

    Args:
        function: A function, whose options are typed.
        given: Names.
        reasons: Ends of the message for names that other functions have.

    Raises:
        TypeError: It has not.
    """
    known = types_of_arguments(function)
    for name in given:
        if name not in known:
            reason = reasons.get(name) or did_you_mean(name, known)
            raise TypeError(f"{function.__name__} takes no argument {name!r}{reason}")
