"""The name that someone who mistyped one probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

SIMILAR = 0.5
"""Likeness, 0..1, from which on a name is suggested."""


def nearest(name: str, names: Iterable[str], *, similar: float = SIMILAR) -> str | None:
    """Return the most similar of `names`, whatever the case, or None when none is similar."""
    by_lowercase = {candidate.lower(): candidate for candidate in names}
    matches = get_close_matches(name.lower(), by_lowercase, n=1, cutoff=similar)
    return by_lowercase[matches[0]] if matches else None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Return the end of an error message about an unknown name; empty when none is similar."""
    match = nearest(name, names)
    return "" if match is None else f'; did you mean "{match}"?'
