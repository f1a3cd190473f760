"""The Song Describer Dataset: music of 47 s (section 5.1 and appendix A; tables 2, 4, 6, 7)."""

from pathlib import Path

from stable_audio_open.evaluation.protocols.protocol import (
    ALL,
    CaptionPrompt,
    Protocol,
    keep_all,
    without,
)
from stable_audio_open.evaluation.protocols.table import checked, read_rows

APPENDIX_WORDS = (
    *("speech", "speech synthesizer", "hubbub", "babble", "singing", "male", "man", "female"),
    *("woman", "child", "kid", "synthetic singing", "choir", "chant", "mantra", "rapping"),
    *("humming", "groan", "grunt", "vocal", "vocalist", "singer", "voice", "acapella"),
)
"""The footnote of appendix A."""
MORE_WORDS = ("rap", "french", "spanish", "english", "portuguese")
"""Not in the paper; with them the subset is the authors' one: 586 captions of 446 tracks."""

NO_SINGING = "no-singing"


def is_instrumental(text: str) -> bool:
    """Say whether a caption has none of the words, in any case and even as parts of others."""
    return without((*APPENDIX_WORDS, *MORE_WORDS))(text.lower())


def read_song_describer(path: Path) -> list[CaptionPrompt]:
    """Read the public `song_describer.csv`: caption_id, track_id, caption and other columns.

    All captions are prompts (the paper's 1,106), whatever `is_valid_subset` says. References are
    named by track_id, as the data set's own `1004034.2min.mp3`.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not as documented; file and line are named.
    """
    rows = read_rows(path, ("caption_id", "track_id", "caption"))
    return checked(
        (
            (
                where,
                CaptionPrompt(
                    id=row["caption_id"],
                    text=row["caption"],
                    clip=row["track_id"],
                    references=(row["track_id"],),
                ),
            )
            for where, row in rows
        ),
        path,
    )


SONG_DESCRIBER = Protocol(
    name="song-describer",
    title="Song Describer Dataset",
    seconds=47.0,
    read=read_song_describer,
    subsets={ALL: keep_all, NO_SINGING: is_instrumental},
)
