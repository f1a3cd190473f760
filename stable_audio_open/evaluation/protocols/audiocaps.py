"""AudioCaps: sounds of 10 s (section 5.1, tables 1, 3 and 5)."""

from pathlib import Path

from stable_audio_open.evaluation.protocols.protocol import (
    ALL,
    CaptionPrompt,
    Protocol,
    keep_all,
    without,
)
from stable_audio_open.evaluation.protocols.table import checked, read_rows

CONNECTORS = ("and", "followed", "while", "as", "then", "with", "later", "before", "after")
"""Footnote 5."""
SPEECH = ("speech", "male", "female", "woman", "man", "speaking", "speaks")
"""Footnote 6."""

NO_SPEECH, NO_CONNECTORS, NEITHER = "no-speech", "no-connectors", "no-speech-no-connectors"
"""Subsets of table 5. As parts of words and in lower case, the footnotes' words leave exactly as
many captions of the test set as the table says: 2,765, 711 and 587 of 4,875."""


def read_audiocaps(path: Path) -> list[CaptionPrompt]:
    """Read the captions of the public `test.csv`: audiocap_id, youtube_id, start_time, caption.

    All captions are prompts, those of clips that YouTube no longer has too: the paper's 4,875.
    References are named by youtube_id or audiocap_id.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not as documented; file and line are named.
    """
    rows = read_rows(path, ("audiocap_id", "youtube_id", "caption"))
    return checked(
        (
            (
                where,
                CaptionPrompt(
                    id=row["audiocap_id"],
                    text=row["caption"],
                    clip=row["youtube_id"],
                    references=(row["youtube_id"], row["audiocap_id"]),
                ),
            )
            for where, row in rows
        ),
        path,
    )


AUDIOCAPS = Protocol(
    name="audiocaps",
    title="AudioCaps",
    seconds=10.0,
    read=read_audiocaps,
    subsets={
        ALL: keep_all,
        NO_SPEECH: without(SPEECH),
        NO_CONNECTORS: without(CONNECTORS),
        NEITHER: without((*SPEECH, *CONNECTORS)),
    },
)
