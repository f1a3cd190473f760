import inspect
import random
import string
from pathlib import Path

import msgspec
import pytest
from rapidfuzz import fuzz

from stable_audio_open.cli.curate.search import search as search_command
from stable_audio_open.config.curation import SearchConfig
from stable_audio_open.curation.catalogue.decisions import read_decisions
from stable_audio_open.curation.catalogue.parquet import write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.known_works.search import (
    KnownWork,
    KnownWorks,
    WorkMatch,
    decide_search,
    find_matches,
    read_works,
    search_catalogue,
    signature,
)

pytestmark = pytest.mark.numerical

KNOWN = KnownWorks(
    [
        KnownWork("Beatles", "Yesterday", "Help!"),
        KnownWork("The Beatles", "Help!"),
        KnownWork("Beyoncé", "Halo"),
        KnownWork("Bob Marley", "One Love"),
    ]
)


def record(artist: str | None, title: str | None, *, author: str | None = None) -> CatalogueRecord:
    return CatalogueRecord(id="fma:1", artist=artist, title=title, author=author)


def matches(*records: CatalogueRecord, threshold: int = 90) -> list[WorkMatch]:
    return list(find_matches(records, KNOWN, threshold=threshold))


@pytest.mark.parametrize(
    ("artist", "title", "work"),
    [
        ("THE BEATLES", "Help! (Remastered 2009)", 1),
        ("Beatles, The", "yesterday feat. nobody", 0),
        ("Beyonce", "Hálo", 2),
        ("Marley, Bob", "One Love", 3),
        ("Bob Marly", "One Love", 3),
        ("Rob Marley", "One Love", 3),
    ],
)
def test_other_spellings_match(artist: str, title: str, work: int) -> None:
    (match,) = matches(record(artist, title))
    assert match.work == KNOWN.works[work]
    assert min(match.artist_score, match.title_score) >= 90


@pytest.mark.parametrize(
    ("artist", "title"),
    [("The Beatles", "Halo"), ("Beach Boys", "Help!"), ("The Beatles", "Hello Goodbye")],
)
def test_artist_and_title_both_have_to_match(artist: str, title: str) -> None:
    assert matches(record(artist, title)) == []


def test_records_without_names() -> None:
    assert matches(record(None, "Halo"), record("Beyoncé", None)) == []
    assert len(matches(record(None, "Halo", author="Beyoncé"))) == 1


def test_the_reason_names_both_and_their_scores() -> None:
    (match,) = matches(record("Beetles", "Yesterday (Live)"), threshold=85)
    decision = decide_search(match, by="me")
    assert decision.reason == (
        "artist 'Beetles' ~ 'Beatles' 86, title 'Yesterday (Live)' ~ 'Yesterday' 100 "
        "(album 'Help!')"
    )
    assert (decision.id, decision.stage, decision.verdict) == ("fma:1", "search", "review")
    assert decision.by == "me"


def test_the_best_of_several_works() -> None:
    known = KnownWorks(
        [KnownWork("a band", "long title here"), KnownWork("a band", "long title there")]
    )
    (match,) = find_matches([record("a band", "long title there")], known)
    assert (match.work.title, match.title_score, match.works) == ("long title there", 100, 2)
    assert decide_search(match, by="me").reason.endswith("; 1 more works match")


def test_all_pairs_are_compared() -> None:
    """The same as a plain double loop."""
    source = random.Random(0)

    def name() -> str:
        return "".join(source.choice(string.ascii_lowercase[:5]) for _ in range(5))

    works = [KnownWork(name(), name()) for _ in range(150)]
    records = [CatalogueRecord(id=f"fma:{n}", artist=name(), title=name()) for n in range(150)]

    def alike(a: str, b: str) -> bool:
        return fuzz.ratio(a, b) >= 75

    wanted = [
        r.id
        for r in records
        if any(alike(str(r.artist), w.artist) and alike(str(r.title), w.title) for w in works)
    ]
    found = [m.record.id for m in find_matches(records, KnownWorks(works), threshold=75)]
    assert found == wanted
    assert 10 < len(wanted) < 150


def test_a_list_is_read(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text('\ufefftitle,artist\nHalo,Beyoncé\n"a, b", c \n', encoding="utf-8")
    assert read_works(path) == [KnownWork("Beyoncé", "Halo"), KnownWork("c", "a, b")]
    first = signature(path, 90)
    assert first.startswith("metadata search, list.csv sha256:")
    assert first.endswith(", threshold 90")
    path.write_text("artist,title,album\nBeyoncé,Halo,x\nb,,\n", encoding="utf-8")
    assert signature(path, 90) != first
    with pytest.raises(ValueError, match=r"list\.csv:3: artist or title is empty"):
        read_works(path)
    path.write_text("artist,titel\na,b\n")
    with pytest.raises(ValueError, match="the columns are artist, titel; allowed: artist, title"):
        read_works(path)
    path.write_text("artist,title\n")
    with pytest.raises(ValueError, match="lists no works"):
        read_works(path)


def test_a_threshold_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"threshold must be within 1\.\.100, got 0"):
        matches(threshold=0)


def test_one_letter_in_ten_may_differ_and_no_more(tmp_path: Path) -> None:
    """Of all that search: from Python, from a configuration and as a command."""
    (tmp_path / "known.csv").write_text(
        "artist,title\nabcdefghij,klmnopqrst\nabcdefghijklmnopqrs,tuvwxyzabcd\n"
    )
    found = {
        "nine of ten": record("abcdefghiz", "klmnopqrst"),  # 2 * 9 / 20 = 0.9
        "17 of 19": record("abcdefghijklmnopq12", "tuvwxyzabcd"),  # 2 * 17 / 38 = 0.895
    }
    records = [
        msgspec.structs.replace(one, id=f"fma:{index}")
        for index, one in enumerate(found.values(), start=1)
    ]
    known = KnownWorks(read_works(tmp_path / "known.csv"))
    assert [one.record.id for one in find_matches(records, known)] == ["fma:1"]
    write_catalogue(tmp_path / "catalogue", records)
    counts = search_catalogue(tmp_path / "catalogue", tmp_path / "known.csv")
    assert (counts.records, counts.to_review) == (2, 1)
    assert [one.id for one in read_decisions(tmp_path / "catalogue")] == ["fma:1"]
    command = inspect.signature(search_command).parameters["threshold"].default
    assert command == SearchConfig(list="known.csv").threshold == 90
