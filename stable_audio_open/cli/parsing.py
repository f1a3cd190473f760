"""Values of options that typer does not know: pairs, and options of two names."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value", str, float)
Parsed = TypeVar("Parsed")


def either(name: str, value: Value | None, old_name: str, old_value: Value | None) -> Value | None:
    """Return the value of an option that has a second name, None where neither is given.

    Args:
        name: The option.
        value: What it was given, if anything.
        old_name: Its name in earlier versions, which is hidden.
        old_value: What was given by that name, if anything.

    Raises:
        ValueError: The two differ.
    """
    if value is not None and old_value is not None and value != old_value:
        raise ValueError(
            f"{name} {value} and {old_name} {old_value} are two names of one option; "
            f"give {name} alone"
        )
    return old_value if value is None else value


def guidance_scale(scale: float | None, guidance: float | None) -> float | None:
    """Return the guidance scale by `--guidance-scale` or `--guidance`, None for the model's.

    Raises:
        ValueError: The two differ.
    """
    return either("--guidance-scale", scale, "--guidance", guidance)


def merged_adapters(values: list[str] | None) -> list[tuple[str, float]]:
    """Split FOLDER[:WEIGHT].

    Raises:
        ValueError: A weight is not finite, or there is more than a weight.
    """
    pairs = []
    for value in values or ():
        folder, weight, limits = _adapter(value)
        if limits:
            raise ValueError(
                f"--lora {value}: is measured as a whole, with a weight alone; leave out "
                f"{' and '.join(_LIMITS[name] for name in limits)}"
            )
        pairs.append((folder, weight))
    return pairs


def adapters(values: list[str] | None) -> list[tuple[str, float | dict[str, Any]]]:
    """Split FOLDER[:WEIGHT][:sigma=LOW..HIGH][:layers=BLOCK,PATTERN,...].

    Returns:
        Folders with a weight or, where there is more than that, with settings.

    Raises:
        ValueError: One is of another form, or its weight is not finite.
    """
    found = [_adapter(value) for value in values or ()]
    return [
        (folder, {"weight": weight, **limits} if limits else weight)
        for folder, weight, limits in found
    ]


_LIMITS = {"interval": "sigma=", "layers": "layers="}
"""Settings of an adapter, and what stands before each."""


def _adapter(value: str) -> tuple[str, float, dict[str, Any]]:
    limits: dict[str, Any] = {}
    rest = value
    while True:
        before, colon, last = rest.rpartition(":")
        name = next((name for name, mark in _LIMITS.items() if last.startswith(mark)), None)
        if not colon or name is None:
            break
        if name in limits:
            raise ValueError(f"--lora {value}: {_LIMITS[name]} is given twice")
        text = last.removeprefix(_LIMITS[name])
        try:
            limits[name] = _levels(text) if name == "interval" else _layers(text)
        except ValueError as error:
            raise ValueError(
                f"--lora {value}: give FOLDER:0.5:sigma=LOW..HIGH:layers=0-3,PATTERN; each part "
                "but the folder may be left out"
            ) from error
        rest = before
    folder, colon, number = rest.rpartition(":")
    try:
        folder, weight = (folder, float(number)) if colon else (rest, 1.0)
    except ValueError:
        folder, weight = rest, 1.0  # a colon of the folder's name
    if not math.isfinite(weight):
        raise ValueError(f"--lora {value}: the weight must be a finite number, such as 0.5")
    return folder, weight, limits


def _levels(text: str) -> tuple[float, float]:
    """Split LOW..HIGH, either of which may be left out."""
    low, dots, high = text.partition("..")
    if not dots or not (low or high):
        raise ValueError
    levels = float(low or 0.0), float(high or math.inf)
    if not 0 <= levels[0] <= levels[1]:
        raise ValueError
    return levels


def _layers(text: str) -> tuple[int | str, ...]:
    """Split numbers of blocks, ranges of them, and patterns."""
    found: list[int | str] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if first.isdecimal() and last.isdecimal() and dash and int(first) <= int(last) < 10_000:
            found += range(int(first), int(last) + 1)
        else:
            found.append(int(part) if part.isdecimal() else _some(part))
    return tuple(found)


def conditions(values: list[str] | None) -> dict[str, float] | None:
    """Split NAME=NUMBER.

    Raises:
        ValueError: A value is none, or a name is given twice.
    """
    wanted = "give a name and a number, such as bpm=120"
    return _named("--condition", values, float, wanted) or None


def sounds(values: list[str] | None) -> dict[str, Path]:
    """Split NAME=FILE; hyphens of a name are underscores.

    Raises:
        ValueError: One has no name or no file, or a name is given twice.
    """
    found = _named("--sound", values, _some, "give NAME=FILE, such as init_audio=kick.wav")
    return {name.replace("-", "_"): Path(file) for name, file in found.items()}


def prompts_at(values: list[str] | None) -> list[tuple[float, str]]:
    """Split SECONDS:PROMPT.

    Raises:
        ValueError: There is no number in front of a colon.
    """
    wanted = "give the second at which the prompt begins, a colon and the prompt, such as 30:storm"
    return [(number, text) for number, text in _numbered("--prompt-at", values, str, wanted)]


def mixed(prompt: str, values: list[str] | None) -> str | list[tuple[str, float]]:
    """Return a prompt with others mixed in, each as SHARE:PROMPT; the rest of 1 is its own.

    Raises:
        ValueError: A share is not above 0, or nothing is left for the prompt itself.
    """
    wanted = "give a share below 1, a colon and the prompt, such as 0.3:fire"
    others = [(text, share) for share, text in _numbered("--mix", values, str, wanted)]
    if not others:
        return prompt
    total = sum(share for _, share in others)
    if not (all(share > 0 for _, share in others) and total < 1):
        raise ValueError(
            f"--mix: shares must be above 0 and together below 1, got {total:g}; what is left is "
            "the prompt's own"
        )
    return [(prompt, 1 - total), *others]


def scales_at(values: list[str] | None) -> list[tuple[float, float]]:
    """Split SIGMA:SCALE.

    Raises:
        ValueError: One is no pair of numbers.
    """
    wanted = "give a noise level, a colon and the scale there, such as 100:3"
    return _numbered("--guidance-at", values, float, wanted)


def span(value: str) -> tuple[float, float]:
    """Split START END.

    Raises:
        ValueError: These are not two numbers.
    """
    try:
        start, end = map(float, value.split())
    except ValueError as error:
        raise ValueError(
            f"--span {value}: give two numbers of seconds, such as --span 1.2 2.0"
        ) from error
    return start, end


def _numbered(
    option: str, values: Iterable[str] | None, kind: Callable[[str], Parsed], wanted: str
) -> list[tuple[float, Parsed]]:
    """Split NUMBER:VALUE."""
    pairs = []
    for value in values or ():
        number, _, rest = value.partition(":")
        try:
            pairs.append((float(number), kind(rest)))
        except ValueError as error:
            raise ValueError(f"{option} {value!r}: {wanted}") from error
    return pairs


def _named(
    option: str, values: Iterable[str] | None, kind: Callable[[str], Parsed], wanted: str
) -> dict[str, Parsed]:
    """Split NAME=VALUE."""
    found: dict[str, Parsed] = {}
    for value in values or ():
        name, _, rest = value.partition("=")
        try:
            given = kind(rest if name else "")
        except ValueError as error:
            raise ValueError(f"{option} {value}: {wanted}") from error
        if name in found:
            raise ValueError(f"{option} {value}: {name} is given twice")
        found[name] = given
    return found


def _some(text: str) -> str:
    if not text:
        raise ValueError
    return text
