"""From prompts to the files that a model shall make of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.evaluation.generations.sets import SUFFIX, Item
from stable_audio_open.evaluation.protocols.protocol import Prompt


def generation_items(prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Item]:
    """Return what to generate: one file for each caption, named by it.

    Args:
        prompts: The whole table, so that a caption's seed does not depend on what is asked for.
        seeds: One for each prompt.
    """
    return [
        Item(
            id=prompt.id,
            file=f"{prompt.id}{SUFFIX}",
            clip=prompt.clip,
            prompt=prompt.text,
            seed=seed,
        )
        for prompt, seed in zip(prompts, seeds, strict=True)
    ]


def clip_items(clips: Sequence[str], suffix: str = SUFFIX) -> list[Item]:
    """Return what to make of recordings: one file for each, named by it."""
    return [Item(id=clip, file=f"{clip}{suffix}", clip=clip) for clip in clips]


def cut(references: Mapping[str, Path], items: Sequence[Item], seconds: float) -> Audio:
    """Return the first seconds of one recording, at its own rate and channels.

    Raises:
        AudioFileError: It cannot be read.
    """
    (item,) = items
    return read_audio(references[item.clip], duration=seconds)
