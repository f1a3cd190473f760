"""The tables of captions and their subsets, by the words of the paper."""

from collections.abc import Callable
from pathlib import Path

import pytest

from stable_audio_open.evaluation.protocols.audiocaps import (
    AUDIOCAPS,
    CONNECTORS,
    NEITHER,
    NO_CONNECTORS,
    NO_SPEECH,
    SPEECH,
    read_audiocaps,
)
from stable_audio_open.evaluation.protocols.named import PROTOCOLS
from stable_audio_open.evaluation.protocols.protocol import ALL, CaptionPrompt, prompts_hash
from stable_audio_open.evaluation.protocols.song_describer import (
    NO_SINGING,
    SONG_DESCRIBER,
    read_song_describer,
)

AUDIOCAPS_HEADER = "audiocap_id,youtube_id,start_time,caption\n"
SONG_HEADER = (
    "caption_id,track_id,caption,is_valid_subset,familiarity,artist_id,album_id,path,duration\n"
)
APPENDIX = (
    "speech, speech synthesizer, hubbub, babble, singing, male, man, female, woman, child, kid, "
    "synthetic singing, choir, chant, mantra, rapping, humming, groan, grunt, vocal, vocalist, "
    "singer, voice, acapella"
)


def test_the_words_are_those_of_the_footnotes():
    assert ", ".join(CONNECTORS) == ("and, followed, while, as, then, with, later, before, after")
    assert ", ".join(SPEECH) == "speech, male, female, woman, man, speaking, speaks"


@pytest.mark.parametrize(
    ("caption", "subsets"),
    [
        ("A dog barks", {NO_SPEECH, NO_CONNECTORS, NEITHER}),
        ("A man speaking as a crowd of people laugh and applaud", set()),
        ("A woman speaks", {NO_CONNECTORS}),
        ("Rain falls, then thunder roars", {NO_SPEECH}),
        # Parts of words count: "glass" holds "as", "sand" holds "and".
        ("A glass breaks", {NO_SPEECH}),
        ("Steps on sand", {NO_SPEECH}),
        # Upper case does not.
        ("Speech on a radio", {NO_SPEECH, NO_CONNECTORS, NEITHER}),
        ("As it rains", {NO_SPEECH, NO_CONNECTORS, NEITHER}),
        ("MAN SPEAKING WITH A CROWD", {NO_SPEECH, NO_CONNECTORS, NEITHER}),
    ],
)
def test_subsets_of_audiocaps(caption: str, subsets: set[str]):
    found = {name for name, keeps in AUDIOCAPS.subsets.items() if keeps(caption)}
    assert found == subsets | {ALL}


@pytest.mark.parametrize("word", APPENDIX.split(", "))
def test_no_singing_drops_every_word_of_the_appendix_in_any_case(word: str):
    keeps = SONG_DESCRIBER.subsets[NO_SINGING]
    assert not keeps(f"A song with {word}.")
    assert not keeps(f"{word.title()}s over a guitar")
    assert not keeps(word.upper())


@pytest.mark.parametrize(
    ("caption", "kept"),
    [
        ("A calm piano melody", True),
        ("Hip hop and Rap", False),  # not in the footnote, in the authors' subset
        ("A FRENCH chanson", False),
        ("A romantic tune", False),  # r-o-man-tic
        ("A trap beat", False),  # t-rap
        ("Speechless guitar", False),
    ],
)
def test_no_singing(caption: str, kept: bool):
    assert SONG_DESCRIBER.subsets[NO_SINGING](caption) == kept


def test_neither_is_what_both_keep():
    captions = ["A dog", "A man", "Wind and rain", "A man and rain", "glass", "Speech"]
    one, other, both = (AUDIOCAPS.subsets[name] for name in (NO_SPEECH, NO_CONNECTORS, NEITHER))
    assert [both(c) for c in captions] == [one(c) and other(c) for c in captions]


def test_lengths_and_names():
    assert {name: p.seconds for name, p in PROTOCOLS.items()} == {
        "audiocaps": 10.0,
        "song-describer": 47.0,
    }


def test_audiocaps_is_read_as_published(tmp_path: Path):
    path = tmp_path / "test.csv"
    path.write_text(
        "\ufeff" + AUDIOCAPS_HEADER + "103549,7fmOlUlwoNg,20,Constant rattling noise\n"
        '103548,7fmOlUlwoNg,20,"Rattling, and ""sharp"" vibrations"\n\n'
        "103541,-6cS0FsUM-cQ,30,A dog\n",
        encoding="utf-8",
    )
    prompts = read_audiocaps(path)
    assert prompts[1] == CaptionPrompt(
        id="103548",
        text='Rattling, and "sharp" vibrations',
        clip="7fmOlUlwoNg",
        references=("7fmOlUlwoNg", "103548"),
    )
    assert [p.id for p in prompts] == ["103549", "103548", "103541"]
    assert [p.id for p in AUDIOCAPS.subset(NO_CONNECTORS, prompts)] == ["103549", "103541"]


def test_song_describer_is_read_as_published(tmp_path: Path):
    path = tmp_path / "song_describer.csv"
    path.write_text(
        SONG_HEADER
        + "1,1004034,A twisty nice melody,True,0,358,9372,34/1004034.mp3,283.1\n"
        + "2,1004034,Same track,False,0,358,9372,34/1004034.mp3,283.1\n"
    )
    assert read_song_describer(path) == [
        CaptionPrompt(id="1", text="A twisty nice melody", clip="1004034", references=("1004034",)),
        CaptionPrompt(id="2", text="Same track", clip="1004034", references=("1004034",)),
    ]


Read = Callable[[Path], list[CaptionPrompt]]


@pytest.mark.parametrize(
    ("read", "content", "message"),
    [
        (read_audiocaps, b"", "prompts.csv: is empty; give the table as it is published"),
        (
            read_audiocaps,
            b"audiocap_id,youtube_id,caption,caption\n1,a,x,y\n",
            "the header has caption twice; leave one column",
        ),
        (
            read_song_describer,
            b"id,caption\n",
            "the header lacks caption_id, track_id; found: id, caption; give the table of",
        ),
        (read_audiocaps, AUDIOCAPS_HEADER.encode(), "holds no captions; give the whole table"),
        (
            read_audiocaps,
            f"{AUDIOCAPS_HEADER}1,a,0,rain,heavy\n".encode(),
            ":2: 5 cells; the header has 4",
        ),
        (
            read_audiocaps,
            f"{AUDIOCAPS_HEADER}1,a,0, \n".encode(),
            ":2: caption is empty; every row needs one",
        ),
        (
            read_audiocaps,
            f"{AUDIOCAPS_HEADER}1,a,0,x\n1,b,0,y\n".encode(),
            ":3: caption 1 is there twice; identifiers must differ",
        ),
        (
            read_audiocaps,
            f"{AUDIOCAPS_HEADER}../1,a,0,x\n".encode(),
            ":2: identifier '../1'; allowed: ASCII letters, digits, - and _, at most 200",
        ),
        (
            read_audiocaps,
            f"{AUDIOCAPS_HEADER}{'1' * 201},a,0,x\n".encode(),
            "1'; allowed: ASCII letters, digits, - and _, at most 200",
        ),
        (read_audiocaps, f"{AUDIOCAPS_HEADER}1,a,0,\xe9\n".encode("latin-1"), "not UTF-8"),
        (read_audiocaps, f'{AUDIOCAPS_HEADER}1,a,0,"x'.encode(), ":2: not CSV"),
    ],
)
def test_what_is_not_as_documented(read: Read, content: bytes, message: str, tmp_path: Path):
    path = tmp_path / "prompts.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"prompts.csv") as caught:
        read(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_subset():
    with pytest.raises(ValueError, match="audiocaps has no subset 'no-singing'; allowed: all, no-"):
        AUDIOCAPS.subset(NO_SINGING, [])


def test_the_hash_tells_other_captions():
    first = CaptionPrompt(id="1", text="rain", clip="a", references=("a",))
    other = CaptionPrompt(id="1", text="Rain", clip="a", references=("a",))
    assert prompts_hash([first]) == prompts_hash([first])
    assert len({prompts_hash(p) for p in ([first], [other], [first, other], [])}) == 4
