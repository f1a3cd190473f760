"""Prompts drawn from what is known about a recording (section 3.2)."""

import random
from collections.abc import Callable

from stable_audio_open.data.manifest import Recording

CASES: tuple[Callable[[str], str], ...] = (str, str.lower, str.upper, str.capitalize)
"""As written, lower, upper, first letter upper."""


def draw_prompt(recording: Recording, rng: random.Random, *, caption_share: float = 0.5) -> str:
    """Return the caption half the time, else some of its words and tags, in any order and case.

    A random non-empty subset lets a prompt name one property without the others.
    """
    if rng.random() < caption_share:
        text = recording.caption
    else:
        # A phrase such as "kick drum" stays whole where it is a tag.
        pool = list(dict.fromkeys(recording.tags or recording.caption.split()))
        text = " ".join(rng.sample(pool, rng.randint(1, len(pool))))
    return rng.choice(CASES)(text)
