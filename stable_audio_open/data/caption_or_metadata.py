"""Prompts drawn from what is known about a recording (section 3.2)."""

import random
from collections.abc import Callable

from stable_audio_open import prompts
from stable_audio_open.data.manifest import Recording

CASES: tuple[Callable[[str], str], ...] = (str, str.lower, str.upper, str.capitalize)
"""Cases of a prompt: as written, lower, upper, first letter upper."""


def draw_caption_or_metadata(
    recording: Recording,
    rng: random.Random,
    *,
    caption_share: float = 0.5,
    metadata: prompts.PromptSettings | None = None,
) -> str:
    """Return a caption half the time, else words of what is known, in any order and case.

    Args:
        recording: A recording with its caption; of several, each is equally likely.
        rng: The only source of chance.
        caption_share: Share of the prompts that are whole captions.
        metadata: How the others are drawn of all metadata, as in the paper; where none is known
            the caption serves. When None, a random non-empty subset of the tags or of the caption's
            words: it can name one property without the others.
    """
    if rng.random() >= caption_share:
        if metadata is None:
            return rng.choice(CASES)(_words(recording, rng))
        if prompts.is_described(recording, metadata):
            return prompts.draw_prompt(recording, rng, metadata)
    return rng.choice(CASES)(_caption(recording, rng))


def _caption(recording: Recording, rng: random.Random) -> str:
    # One alone takes nothing from the generator, so that such sets give the prompts they gave.
    captions = recording.all_captions
    return rng.choice(captions) if len(captions) > 1 else captions[0]


def _words(recording: Recording, rng: random.Random) -> str:
    # A phrase such as "kick drum" stays whole where it is a tag.
    pool = list(dict.fromkeys(recording.tags or _caption(recording, rng).split()))
    return " ".join(rng.sample(pool, rng.randint(1, len(pool))))
