"""What may be set for a sound: arguments of `generate`, steps before its file, and its name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec

from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.audio.finishing import Finishing
from stable_audio_open.audio.writing.formats import Subtype
from stable_audio_open.audio.writing.places import check_target
from stable_audio_open.files.patterns import NamePattern
from stable_audio_open.jobs.target import name_pattern
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.recorded.recorded import OF_THE_SOURCE, arguments_of

NAME, SUBTYPE, VARIATIONS = "name", "subtype", "variations"
MOST_VARIATIONS = 10_000
STARTS = frozenset({"init_strength", "init_noise_level"})
RIVALS = (
    frozenset({"duration", "samples", "bars"}),
    frozenset({"loudness", "peak"}),
    STARTS,
)
"""Columns of which a sound has one."""
OF_THE_MODEL = ("model", "text_encoder", "lora", "device", "dtype", "attention", "threads")
"""Options that hold for all rows."""


class SoundSettings(NamedTuple):
    """What one sound, or its variations, is made by."""

    generate: Mapping[str, Any]
    """Arguments of `StableAudio.generate`."""
    finishing: Finishing
    """Steps before the file."""
    subtype: Subtype
    """Of the samples in the file."""
    pattern: NamePattern
    """How the files are named."""
    variations: int
    """Sounds of one prompt."""


def generate_columns() -> tuple[str, ...]:
    """Return the arguments of `StableAudio.generate` that change a sound, in their order.

    Where a step before the file has the same name, that one is meant. Adapters hold for all rows.
    """
    others = (*finishing_columns(), *OF_THE_SOURCE)
    return tuple(name for name in arguments_of(StableAudio.generate) if name not in others)


def finishing_columns() -> tuple[str, ...]:
    """Return the names of the steps before a file."""
    return tuple(field.name for field in msgspec.structs.fields(Finishing))


def columns() -> tuple[str, ...]:
    """Return every column that a table of sounds may have."""
    return (*generate_columns(), *finishing_columns(), SUBTYPE, NAME, VARIATIONS)


def with_defaults(row: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a row, and those of the request for what it leaves open.

    Where a row has one of two settings of which a sound has one, such as a length in samples, the
    request's other one does not stand.
    """
    given = {**defaults}
    for rivals in RIVALS:
        if row.keys() & rivals:
            for name in rivals:
                given.pop(name, None)
    if row.keys() & {"duration", "samples"}:  # of bars
        given.pop("bpm", None)
    values = {**given, **row}
    if "init_audio" not in values:
        for name in STARTS - row.keys():
            values.pop(name, None)
    return values


def text_columns() -> frozenset[str]:
    """Return the columns whose cells are text as they stand: `808` is a prompt, not a number."""
    hints = arguments_of(StableAudio.generate).items()
    return frozenset({SUBTYPE, NAME, *(name for name, hint in hints if str in _members(hint))})


def integer_columns() -> frozenset[str]:
    """Return the columns of integers, which tables write as `7.0` where a column has gaps."""
    hints = {**arguments_of(StableAudio.generate), **get_type_hints(Finishing), VARIATIONS: int}
    return frozenset(
        name
        for name, hint in hints.items()
        if int in _members(hint) and float not in _members(hint)
    )


def _members(hint: Any) -> tuple[Any, ...]:
    return (hint, *get_args(hint))


def check_columns(found: tuple[str, ...], source: str) -> None:
    """Check that all columns are known, and that none stands twice.

    Raises:
        ValueError: Naming the table and the first that is not, with the nearest name.
    """
    known = columns()
    for index, name in enumerate(found):
        if name in (*OF_THE_MODEL, *OF_THE_SOURCE):
            option = "lora" if name in OF_THE_SOURCE else name.replace("_", "-")
            raise ValueError(
                f"{source}: column {name!r}: one model makes all rows; give it as --{option}"
            )
        if not name:
            raise ValueError(
                f"{source}: column {index + 1} has no name; give it one, or leave it out"
            )
        for separator in (";", "\t"):
            if separator in name:
                raise ValueError(
                    f"{source}: column {name!r}: columns are separated by commas, not by "
                    f"{separator!r}; save the table so"
                )
        if name not in known:
            near = did_you_mean(name, known)
            remedy = near or f"; allowed: {', '.join(known)}"
            raise ValueError(f"{source}: unknown column {name!r}{remedy}")
        if name in found[:index]:
            raise ValueError(f"{source}: column {name!r} stands twice; leave one out")


def settings_of(values: Mapping[str, Any]) -> SoundSettings:
    """Sort values by what they are for, and check all but those of `generate`.

    Args:
        values: By column; what is not given has its default.

    Raises:
        ValueError: A value is out of range, or there is no prompt.
        TypeError: A value is of a wrong type.
    """
    if not values.get("prompt"):
        raise ValueError("prompt is missing; describe the sound in a few words")
    variations = values.get(VARIATIONS, 1)
    if not isinstance(variations, int) or isinstance(variations, bool):
        raise TypeError(f"variations must be an integer, got {variations!r}")
    if not 1 <= variations <= MOST_VARIATIONS:
        raise ValueError(f"variations must be 1 to {MOST_VARIATIONS}, got {variations}")
    steps = {name: values[name] for name in finishing_columns() if name in values}
    subtype: Subtype = _converted(values.get(SUBTYPE, "pcm24"), Subtype, SUBTYPE)
    pattern = name_pattern(_converted(values.get(NAME), str | None, NAME))
    check_target(Path(f"sound{pattern.suffix}"), subtype)
    return SoundSettings(
        generate={name: values[name] for name in generate_columns() if name in values},
        finishing=_converted(steps, Finishing),
        subtype=subtype,
        pattern=pattern,
        variations=variations,
    )


def _converted(value: object, kind: Any, name: str = "") -> Any:
    """Return a value of a type, or say which field is of another one."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        if isinstance(error.__cause__, ValueError):
            raise ValueError(str(error.__cause__)) from error
        fault, _, path = str(error).partition(" - at `$.")
        raise TypeError(f"{name or path.rstrip('`')}: {fault}") from error
