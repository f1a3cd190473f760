"""The prompts of a catalogue's records, the same whoever asks for them."""

import random

from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.prompts import PromptSettings, draw_prompt


def prompt_of_epoch(
    record: CatalogueRecord, *, epoch: int, seed: int = 0, settings: PromptSettings | None = None
) -> str:
    """Return the prompt of a recording in an epoch: the same in whatever order they are asked for.

    Raises:
        ValueError: naming the record, when nothing is known to draw from.
    """
    try:
        return draw_prompt(record, random.Random(f"{seed} {epoch} {record.id}"), settings)
    except ValueError as error:
        raise ValueError(f"{record.id}: {error}") from error
