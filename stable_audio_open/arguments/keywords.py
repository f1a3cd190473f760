"""Names of a function's arguments, those of typed options among them, and names that are none."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import BoundArguments, Parameter, signature
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


def bound_arguments(
    function: Callable[..., Any], given: Sequence[object], named: Mapping[str, object]
) -> BoundArguments:
    """Return what each argument of a method is given, by its name.

    Args:
        function: The method, as a function whose first argument is its object.
        given: Values by their place, the object first.
        named: Values by name.

    Raises:
        TypeError: There are too many by their place, one is missing, or one is given twice.
    """
    name, parameters = function.__name__, list(signature(function).parameters.values())[1:]
    placed = [one.name for one in parameters if one.kind is Parameter.POSITIONAL_OR_KEYWORD]
    if len(given) - 1 > len(placed):
        other = next((one.name for one in parameters if one.name not in placed), "")
        example = f", such as {other}=..." if other else ""
        raise TypeError(
            f"{name} takes {' and '.join(placed)} without a name, got {len(given) - 1} values; "
            f"name the others{example}"
        )
    needed = [
        one.name
        for one in parameters
        if one.default is Parameter.empty and one.kind is not Parameter.VAR_KEYWORD
    ]
    if missing := [one for one in needed if one not in {*named, *placed[: len(given) - 1]}]:
        raise TypeError(f"{name} needs {' and '.join(missing)}; give {missing[0]}=...")
    try:
        return signature(function).bind(*given, **named)
    except TypeError as error:  # an argument that is given twice
        raise TypeError(f"{name} got {error}; give it once") from error
