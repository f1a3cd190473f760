"""From what stands in a form to a request: what is left empty is the model's default."""

from collections.abc import Mapping
from typing import Any

from stable_audio_open.service.problems import InvalidError
from stable_audio_open.service.requests import Method, SoundRequest

NO_ADAPTER = "none"
WHOLE = frozenset({"steps", "seed", "bars"})
"""Numbers that have no parts."""
NUMBERS = WHOLE | {"duration", "guidance_scale", "seconds", "bpm", "adapter_weight"}
"""What is written as text, and may be left empty."""


def sound_request(
    method: Method, values: Mapping[str, Any], *, sounds: Mapping[str, str], preview_every: int = 0
) -> SoundRequest:
    """Return what a form asks for.

    Args:
        method: Of the model.
        values: What stands in the form, by the names of arguments; `model`, `adapter` and
            `adapter_weight` beside them. None and empty text are left out.
        sounds: Ids of sounds that were sent, by the names of arguments.
        preview_every: Steps between previews.

    Raises:
        InvalidError: What stands for a number is none.
    """
    left: dict[str, Any] = {
        name: _number(value, name) if name in NUMBERS else value
        for name, value in values.items()
        if value is not None and value != ""
    }
    model = left.pop("model", None)
    adapter, weight = left.pop("adapter", NO_ADAPTER), left.pop("adapter_weight", 1.0)
    return SoundRequest(
        method=method,
        arguments=left,
        sounds=dict(sounds),
        model=model,
        adapters=() if adapter == NO_ADAPTER else ((adapter, weight),),
        preview_every=preview_every,
    )


def spans_of(text: str) -> list[tuple[float, float]]:
    """Return spans as they are written: `0.5-0.9, 1.2-1.4`, in seconds.

    Raises:
        InvalidError: A part is no pair of numbers.
    """
    spans = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        start, _, end = part.partition("-")
        try:
            spans.append((float(start), float(end)))
        except ValueError as error:
            raise InvalidError(
                f"spans: {part!r:.40} is no span; write FROM-TO in seconds, such as 0.5-0.9",
                field="spans",
            ) from error
    if not spans:
        raise InvalidError("spans: none is marked; draw one, or write 0.5-0.9", field="spans")
    return spans


def _number(text: str, name: str) -> float:
    """Return the number that is written in a field."""
    kind: type[float] = int if name in WHOLE else float
    try:
        return kind(text.strip())
    except ValueError as error:
        wanted = "a whole number" if name in WHOLE else "a number"
        raise InvalidError(f"{name} must be {wanted}, got {text!r:.40}", field=name) from error
