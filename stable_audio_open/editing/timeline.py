"""Prompts that change along the way."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeAlias, TypeGuard

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import check_number, is_number, shown
from stable_audio_open.request.given_prompts import GivenPrompt, GivenPrompts, Prompt, check_prompts

Timeline: TypeAlias = Sequence[tuple[float, str]]
"""Texts with the seconds at which they begin, the first at 0."""
PromptsOverTime: TypeAlias = GivenPrompt | Timeline | Sequence[GivenPrompt | Timeline]
"""One prompt or timeline, or one per item of a batch."""
Checked: TypeAlias = list[tuple[float, Prompt]]
"""Prompts of an item with the seconds at which they begin."""


def is_timeline(prompt: object) -> TypeGuard[Timeline]:
    """Tell whether this is pairs of seconds and a prompt."""
    return isinstance(prompt, list | tuple) and len(prompt) > 0 and all(map(_is_entry, prompt))


def has_timeline(prompt: object) -> bool:
    """Tell whether any item's prompt changes along the way.

    Raises:
        ValueError: Some entries of a timeline are pairs of seconds and a text, and one is not.
    """
    items = prompt if isinstance(prompt, list | tuple) else ()
    for one in (prompt, *items):
        if isinstance(one, list | tuple) and not _is_entry(one) and any(map(_is_entry, one)):
            wrong = next((index for index, entry in enumerate(one) if not _is_entry(entry)), None)
            if wrong is not None:
                raise ValueError(
                    f"prompt changes along the way, and its entry {wrong + 1} must be (seconds, "
                    f"text), got {shown(one[wrong])}"
                )
    return is_timeline(prompt) or any(map(is_timeline, items))


def _is_entry(value: object) -> bool:
    """Tell whether this is seconds and a text."""
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and is_number(value[0])
        and isinstance(value[1], str)
    )


def check_timelines(prompt: PromptsOverTime, *, duration: float) -> list[Checked]:
    """Return a timeline for each item.

    Args:
        prompt: What is asked for.
        duration: Seconds of the sound, within which prompts change.

    Raises:
        ValueError: When a time or a text is out of its range.
    """
    items: list[Checked] = []
    if not has_timeline(prompt):
        return [[(0.0, one)] for one in check_prompts(prompt, "prompt")]  # type: ignore[arg-type]
    given = [prompt] if is_timeline(prompt) else prompt
    for one in given:
        if not is_timeline(one):
            items.append([(0.0, check_prompts([one], "prompt")[0])])  # type: ignore[arg-type]
            continue
        times = [check_number(seconds, "the second of a prompt") for seconds, _ in one]
        texts = [
            check_prompts(text, f"prompt at {seconds:g} seconds")[0]
            for seconds, (_, text) in zip(times, one, strict=True)
        ]
        if times[0] != 0:
            raise ValueError(
                f"the first prompt must begin at 0 seconds, got {times[0]:g}; add (0, ...)"
            )
        for before, after in pairwise(times):
            if not before < after < math.inf:
                raise ValueError(
                    f"prompts must begin one after the other, got {after:g} after {before:g} "
                    "seconds"
                )
        for seconds in times:
            if not seconds < duration:
                raise ValueError(
                    f"a prompt begins at {seconds:g} seconds, and the sound ends at {duration:g}; "
                    "give an earlier time or a longer duration"
                )
        items.append(list(zip(times, texts, strict=True)))
    return items


def count_items(prompt: PromptsOverTime) -> int:
    """Return the items that a prompt is for.

    Raises:
        TypeError: It is of no form that is known.
        ValueError: A text is out of its range.
    """
    return len(check_prompts(first_prompts(prompt), "prompt"))


def first_prompts(prompt: PromptsOverTime) -> GivenPrompts:
    """Return what each item begins with, as it was given."""
    if isinstance(prompt, str) or not has_timeline(prompt):
        return prompt  # type: ignore[return-value]
    given = [prompt] if is_timeline(prompt) else prompt
    return [one[0][1] if is_timeline(one) else one for one in given]  # type: ignore[return-value]


def prompts_at(items: Sequence[Checked], number: int) -> list[Prompt]:
    """Return each item's prompt of that number, or its last one."""
    return [item[min(number, len(item) - 1)][1] for item in items]


def presences(
    items: Sequence[Checked], *, frames: int, frame_seconds: float, crossfade: int, ring: bool
) -> list[Float[Tensor, "items 1 frames"] | None]:
    """Return how much each prompt counts in each frame: 0 to 1, adding up to 1.

    Args:
        items: Each item's timeline.
        frames: Latent frames of the whole.
        frame_seconds: Seconds of a frame.
        crossfade: Frames over which a prompt gives way to the next; fewer where one is shorter.
        ring: The last prompt gives way to the first one at the end.

    Returns:
        One for each number of a prompt; None where there is but one in every item.
    """
    count = max(map(len, items))
    if count == 1:
        return [None]
    shares = torch.zeros(count, len(items), 1, frames)
    for index, item in enumerate(items):
        places = [seconds / frame_seconds for seconds, _ in item]
        shares[: len(item), index, 0] = _shares(places, frames, crossfade, ring=ring)
    return list(shares)


def _shares(
    places: Sequence[float], frames: int, crossfade: int, *, ring: bool
) -> Float[Tensor, "prompts frames"]:
    if len(places) == 1:
        return torch.ones(1, frames)
    shortest = min(after - before for before, after in pairwise([*places, frames]))
    width = max(min(crossfade, shortest), 1.0)
    centres = torch.arange(frames) + 0.5

    def begun(place: float) -> Tensor:
        """0 before a place, 1 after it, and sin^2 between."""
        return (((centres - place) / width + 0.5).clamp(0, 1) * (math.pi / 2)).sin() ** 2

    ends = begun(frames) if ring else torch.zeros(frames)
    rises = [begun(0) if ring else torch.ones(frames), *map(begun, places[1:]), ends]
    shares = torch.stack([rise - fall for rise, fall in pairwise(rises)])
    shares[-1] += 1 - rises[0]
    shares[0] += ends
    return shares
