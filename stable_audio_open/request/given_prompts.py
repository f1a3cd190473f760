"""Prompts as they are given: one text, or several with weights, for one item or for many."""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, TypeGuard

from stable_audio_open.arguments.checks import check_number, is_list, is_number, shown, wrong_type

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
    if not isinstance(value, str) and not is_list(value):
        raise wrong_type(value, name, "a text, a list of texts, or texts with weights")
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


def _is_weighted(value: object) -> TypeGuard[tuple[str, float]]:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and is_number(value[1])
    )


def _check_prompt(given: object, name: str) -> Prompt:
    parts = [(given, 1.0)] if isinstance(given, str) else given
    if not is_list(parts):
        raise wrong_type(given, f"{name} of an item", "a text or a list of (text, weight)")
    pairs = [part for part in parts if _is_weighted(part)]
    if not parts or len(pairs) != len(parts):
        raise ValueError(f"{name} must be a text or a list of (text, weight), got {shown(given)}")
    texts = check_texts([text for text, _ in pairs], name)
    weights = [check_number(weight, f"a weight of {name}") for _, weight in pairs]
    for text, weight in zip(texts, weights, strict=True):
        if not 0 < weight < math.inf:
            raise ValueError(f"{name}: the weight of {text[:60]!r} must be above 0, got {weight}")
    shares = [weight / max(weights) for weight in weights]  # whose sum is finite
    return tuple(
        Weighted(text, share / sum(shares)) for text, share in zip(texts, shares, strict=True)
    )


def check_texts(value: str | Sequence[str], name: str) -> list[str]:
    """Return texts as a list, checked.

    Raises:
        TypeError: One is no text.
        ValueError: There is none, or one is empty, too long, or no text that can be written.
    """
    if not isinstance(value, str) and not is_list(value):
        raise wrong_type(value, name, "a text or a list of texts")
    texts = [value] if isinstance(value, str) else list(value)
    if not texts:
        raise ValueError(f"{name} is an empty list; give at least one text")
    for text in texts:
        if not isinstance(text, str):
            raise wrong_type(text, name, "texts")
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
