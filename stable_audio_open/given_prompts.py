"""Prompts as they are given: one text, or several with weights, for one item or for many."""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

MAX_PROMPT_CHARACTERS = 2000


class Weighted(NamedTuple):
    """A text of several."""

    text: str
    weight: float
    """Share of the velocity; those of an item add up to 1."""


Prompt: TypeAlias = tuple[Weighted, ...]
"""What an item is conditioned on: one text, or several with weights."""
GivenPrompt: TypeAlias = str | Sequence[tuple[str, float]]
"""A text, or texts with weights, of one item."""
GivenPrompts: TypeAlias = GivenPrompt | Sequence[GivenPrompt]
"""Of one item, or one per item of a batch."""
GivenNegatives: TypeAlias = GivenPrompt | Sequence[GivenPrompt | None]
"""The same; None is nothing in particular."""


def check_prompts(value: GivenPrompts, name: str) -> list[Prompt]:
    """Return what each item is conditioned on, with weights that add up to 1.

    Raises:
        TypeError: When it is no text and no list.
        ValueError: When a text is empty or too long, or a weight is not above 0.
    """
    if not isinstance(value, str | list | tuple):
        raise TypeError(
            f"{name} must be a text, a list of texts, or texts with weights, got {value!r:.60} "
            f"({type(value).__name__})"
        )
    given: list[object] = [value] if isinstance(value, str) else list(value)
    if not given:
        raise ValueError(f"{name} is an empty list; give at least one text")
    if all(map(_is_weighted, given)):  # a mixture, of one item
        return [_check_prompt(given, name)]
    return [_check_prompt(one, name) for one in given]


def check_negatives(value: GivenNegatives) -> list[Prompt | None]:
    """Return what guidance leads each item away from, as `check_prompts` does."""
    if not isinstance(value, list | tuple) or None not in value:
        return [*check_prompts(value, "negative_prompt")]  # type: ignore[arg-type]  # without None
    return [None if one is None else _check_prompt(one, "negative_prompt") for one in value]


def _is_weighted(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], float | int)
    )


def _check_prompt(given: object, name: str) -> Prompt:
    parts = [(given, 1.0)] if isinstance(given, str) else given
    if not isinstance(parts, list | tuple) or not parts or not all(map(_is_weighted, parts)):
        shown = f"{given!r:.100}"
        raise ValueError(f"{name} must be a text or a list of (text, weight), got {shown}")
    check_texts([text for text, _ in parts], name)
    for text, weight in parts:
        if not 0 < weight < math.inf:
            raise ValueError(f"{name}: the weight of {text[:60]!r} must be above 0, got {weight}")
    total = sum(weight for _, weight in parts)
    return tuple(Weighted(text, weight / total) for text, weight in parts)


def check_texts(value: str | Sequence[str], name: str) -> list[str]:
    """Return the texts as a list; each must say something, in not too many words."""
    texts = [value] if isinstance(value, str) else list(value)
    if not texts:
        raise ValueError(f"{name} is an empty list; give at least one text")
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"{name} must be texts, got {text!r:.60} ({type(text).__name__})")
        if not text.strip():
            raise ValueError(f"{name} is empty; describe the sound in a few words")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{name} holds what is no character at place {error.start + 1} (bytes that are not "
                "UTF-8, or half of a pair); type that part again"
            ) from error
        if len(text) > MAX_PROMPT_CHARACTERS:
            raise ValueError(
                f"{name} has {len(text)} characters, at most {MAX_PROMPT_CHARACTERS} are allowed; "
                "describe the sound more briefly"
            )
    return texts
