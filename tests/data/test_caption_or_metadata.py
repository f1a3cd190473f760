import random
from collections import Counter

import msgspec
import pytest
from msgspec import UNSET, UnsetType

from stable_audio_open.data.caption_or_metadata import draw_caption_or_metadata
from stable_audio_open.data.manifest import Recording
from stable_audio_open.prompts import PromptSettings

KICK = Recording(file="a.wav", caption="Kick drum haus", tags=("kick drum", "haus", "dry"))

PLAIN = PromptSettings(cases=("as written",), inclusion=1.0)


def draw(recording: Recording, count: int = 2000) -> Counter[str]:
    rng = random.Random(0)
    return Counter(draw_caption_or_metadata(recording, rng) for _ in range(count))


def test_half_are_the_caption() -> None:
    counts = Counter[str]()
    for prompt, count in draw(KICK).items():
        counts[prompt.lower()] += count
    # Binomial(2000, 0.5): five standard deviations are 112.
    assert abs(counts["kick drum haus"] - 1000) < 112 + 2000 * 0.5 / 18


def test_the_rest_are_subsets_of_the_tags_in_any_order() -> None:
    found = {prompt.lower() for prompt in draw(KICK)}
    tags = ("kick drum", "haus", "dry")
    one = set(tags)
    two = {f"{a} {b}" for a in tags for b in tags if a != b}
    three = {f"{a} {b} {c}" for a in tags for b in tags for c in tags if len({a, b, c}) == 3}
    assert found == one | two | three


def test_all_cases_occur() -> None:
    found = set(draw(KICK))
    assert {"Kick drum haus", "kick drum haus", "KICK DRUM HAUS"} <= found
    assert {"haus", "Haus", "HAUS"} <= found


def test_words_of_the_caption_serve_where_there_are_no_tags() -> None:
    found = {prompt.lower() for prompt in draw(Recording(file="a.wav", caption="snare dub"))}
    assert found == {"snare dub", "dub snare", "snare", "dub"}


def test_the_same_seed_draws_the_same() -> None:
    assert draw(KICK, 20) == draw(KICK, 20)


@pytest.mark.slow
def test_metadata_is_drawn_of_as_in_the_paper() -> None:
    song = Recording(
        file="a.wav",
        caption="A song",
        source="fma:1105",
        title="pizza hangover",
        artist="dadabots",
        year=2021,
        genres=("Metal", "Punk"),
    )
    rng = random.Random(0)
    found = {
        draw_caption_or_metadata(song, rng, caption_share=0, metadata=PLAIN) for _ in range(2000)
    }
    assert "year: 2021, artist: dadabots, title: pizza hangover, genres: Punk, Metal" in found
    assert "dadabots, Metal, Punk, pizza hangover, 2021" in found
    assert len(found) == 2 * 24 * 2
    assert "A song" not in found
    captions = [
        draw_caption_or_metadata(song, rng, caption_share=0.5, metadata=PLAIN) for _ in range(2000)
    ]
    assert abs(sum("song" in prompt.lower() for prompt in captions) - 1000) < 112


def test_the_caption_serves_where_no_metadata_is_known() -> None:
    rng = random.Random(0)
    found = {
        draw_caption_or_metadata(
            KICK, rng, caption_share=0, metadata=PromptSettings(fields=("artist",))
        )
        for _ in range(50)
    }
    assert {prompt.lower() for prompt in found} == {"kick drum haus"}


def test_of_several_captions_each_is_drawn() -> None:
    texts = ("a huge explosion", "explosion, huge", "big blast")
    several = Recording(file="a.wav", caption=texts[0], captions=texts, tags=("explosion",))
    rng = random.Random(0)
    counts = Counter(
        draw_caption_or_metadata(several, rng, caption_share=1).lower() for _ in range(3000)
    )
    assert counts.keys() == set(texts)
    # Binomial(3000, 1 / 3): five standard deviations are 129.
    assert all(abs(count - 1000) < 129 for count in counts.values())
    # Without tags, a prompt takes its words from one of them.
    bare = Recording(file="a.wav", caption=texts[0], captions=texts)
    for _ in range(200):
        words = draw_caption_or_metadata(bare, rng, caption_share=0).lower().split()
        assert any(set(words) <= set(text.split()) for text in texts)


@pytest.mark.parametrize("captions", [UNSET, ("Kick drum haus",)])
def test_one_caption_takes_nothing_from_the_generator(
    captions: tuple[str, ...] | UnsetType,
) -> None:
    """Prompts of manifests without `captions` are those of earlier versions."""
    one = msgspec.structs.replace(KICK, captions=captions)
    rng = random.Random(3)
    found = [draw_caption_or_metadata(one, rng) for _ in range(6)]
    assert found == [
        "kick drum haus",
        "Kick drum haus",
        "kick drum haus dry",
        "haus dry kick drum",
        "dry",
        "Kick drum haus",
    ]
