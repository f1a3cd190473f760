"""What each item of a batch was made from."""

import json
from collections.abc import Sequence
from numbers import Real

from stable_audio_open.recorded.making import as_json


def prompts_of_items(prompt: object, items: int) -> Sequence[object]:
    """Return the prompt of each item, as it was given.

    Args:
        prompt: Of all items, or one per item: a text, texts with weights, or texts that follow each
            other, with the seconds at which they begin.
        items: How many there are.
    """
    if not isinstance(prompt, list | tuple) or _is_of_one(prompt):
        return [prompt] * items
    return [*prompt] * items if len(prompt) == 1 else prompt


def in_words(prompt: object) -> str:
    """Return a prompt as a text: as it is, or as JSON where it is more than one."""
    return str(prompt) if isinstance(prompt, str) else json.dumps(as_json(prompt))


def _is_of_one(prompt: Sequence[object]) -> bool:
    """Return whether these are the parts of one prompt: texts, each with a weight or a time."""
    return all(
        isinstance(part, list | tuple)
        and len(part) == 2
        and any(isinstance(one, str) for one in part)
        and any(isinstance(one, Real) for one in part)
        for part in prompt
    )
