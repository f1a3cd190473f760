import random
from collections import Counter
from itertools import permutations

import pytest

from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.training_set.epoch_prompt import prompt_of_epoch
from stable_audio_open.prompts import PromptSettings, draw_prompt

PIZZA = CatalogueRecord(
    id="fma:1",
    title="pizza hangover",
    artist="dadabots",
    album="can't play instruments",
    year=2021,
)
PLAIN = PromptSettings(cases=("as written",), inclusion=1.0)
DRAWS = 6_000


def chi_square(counts: list[int], expected: list[float]) -> float:
    return sum(
        (count - share * DRAWS) ** 2 / (share * DRAWS)
        for count, share in zip(counts, expected, strict=True)
    )


def draws(record: CatalogueRecord, settings: PromptSettings, seed: int) -> list[str]:
    rng = random.Random(seed)
    return [draw_prompt(record, rng, settings) for _ in range(DRAWS)]


@pytest.mark.slow
def test_the_examples_of_the_paper_are_drawn() -> None:
    drawn = set(draws(PIZZA, PLAIN, 0))
    named = "year: 2021, artist: dadabots, album: can't play instruments, title: pizza hangover"
    assert named in drawn
    assert "dadabots, can't play instruments, pizza hangover, 2021" in drawn
    assert len(drawn) == 2 * 24


@pytest.mark.slow
def test_half_of_fma_names_its_fields_and_other_catalogues_never_do() -> None:
    named = sum("title: " in prompt for prompt in draws(PIZZA, PLAIN, 1))
    # The bounds of this file are the 0.999 quantiles of chi-square.
    assert chi_square([named, DRAWS - named], [0.5, 0.5]) < 10.83
    sound = CatalogueRecord(id="freesound:1", title="a", description="b", tags=("c",))
    assert not any(":" in prompt for prompt in draws(sound, PLAIN, 1))


@pytest.mark.slow
def test_orders_are_equally_likely() -> None:
    words = ("a", "b", "c", "d")
    sound = CatalogueRecord(id="x:1", title="a", description="b", album="c", artist="d")
    counts = Counter(draws(sound, PLAIN, 2))
    orders = [", ".join(order) for order in permutations(words)]
    assert set(counts) == set(orders)
    assert chi_square([counts[order] for order in orders], [1 / 24] * 24) < 49.73
    listed = CatalogueRecord(id="x:1", tags=words)
    counts = Counter(draws(listed, PLAIN, 3))
    assert chi_square([counts[order] for order in orders], [1 / 24] * 24) < 49.73


@pytest.mark.slow
@pytest.mark.parametrize("inclusion", [0.5, 0.2, 0.0])
def test_subsets_have_the_stated_chance(inclusion: float) -> None:
    sound = CatalogueRecord(id="x:1", title="a", description="b", album="c", year=4)
    settings = PromptSettings(cases=("as written",), inclusion=inclusion)
    counts = Counter("".join(sorted(p.split(", "))) for p in draws(sound, settings, 4))
    subsets = [
        "".join(k for k, take in zip("4abc", f"{n:04b}", strict=True) if take == "1")
        for n in range(1, 16)
    ]
    chances = []
    for subset in subsets:
        chance = inclusion ** len(subset) * (1 - inclusion) ** (4 - len(subset))
        chances.append(chance + ((1 - inclusion) ** 4 / 4 if len(subset) == 1 else 0))
    assert sum(chances) == pytest.approx(1)
    possible = [(s, c) for s, c in zip(subsets, chances, strict=True) if c]
    assert sum(counts[subset] for subset, _ in possible) == DRAWS
    assert chi_square([counts[s] for s, _ in possible], [c for _, c in possible]) < 36.12


@pytest.mark.slow
def test_cases_are_equally_likely() -> None:
    sound = CatalogueRecord(id="x:1", title="Big Bell")
    counts = Counter(draws(sound, PromptSettings(), 5))
    assert set(counts) == {"Big Bell", "big bell", "BIG BELL"}
    assert chi_square(list(counts.values()), [1 / 3] * 3) < 13.82


@pytest.mark.slow
def test_empty_values_are_not_said() -> None:
    sound = CatalogueRecord(
        id="x:1", title=" ", description="two\n lines", tags=("", "bell"), genres=()
    )
    assert set(draws(sound, PLAIN, 6)) == {"two lines, bell", "bell, two lines"}
    with pytest.raises(ValueError, match=r"^none of title, .*, year is known"):
        draw_prompt(CatalogueRecord(id="x:2"), random.Random(0))
    with pytest.raises(ValueError, match=r"^x:2: none of title, .*, year is known"):
        prompt_of_epoch(CatalogueRecord(id="x:2"), epoch=0)


def test_an_epoch_is_drawn_anew_and_again_the_same() -> None:
    prompts = [prompt_of_epoch(PIZZA, epoch=epoch, seed=3) for epoch in range(50)]
    assert prompts == [prompt_of_epoch(PIZZA, epoch=epoch, seed=3) for epoch in range(50)]
    assert len(set(prompts)) > 25
    assert prompts != [prompt_of_epoch(PIZZA, epoch=epoch, seed=4) for epoch in range(50)]


def test_settings() -> None:
    settings = PromptSettings(
        fields=("year", "artist"),
        named_share=1,
        named="{field}={value}",
        separator="; ",
        cases=("upper",),
        inclusion=1,
    )
    drawn = set(draws(PIZZA, settings, 7))
    assert drawn == {"YEAR=2021; ARTIST=DADABOTS", "ARTIST=DADABOTS; YEAR=2021"}
    with pytest.raises(ValueError, match=r"inclusion must lie within 0\.\.1, got 1\.5"):
        PromptSettings(inclusion=1.5)
    with pytest.raises(ValueError, match="give each field once"):
        PromptSettings(fields=("year", "year"))
    with pytest.raises(ValueError, match="cases are empty"):
        PromptSettings(cases=())


@pytest.mark.parametrize(
    "named", ["{title}: {value}", "{}", "{0}", "{field", "{value:d}", "{value.x}", "{value[x]}"]
)
def test_how_a_field_is_named_holds_only_what_is_known_then(named: str) -> None:
    with pytest.raises(ValueError, match=r"^named is .*; allowed are \{field\} and \{value\} in"):
        PromptSettings(named=named)
