from pathlib import Path

import pytest

from stable_audio_open.curation.catalogue.decisions import Decision, now
from stable_audio_open.curation.catalogue.ingest import Reject
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.review.report import (
    LISTED,
    durations,
    read_rejects,
    reason_pattern,
    report_page,
)
from tests.parsed_page import HOSTILE, ParsedPage


def decision(id: str, verdict: str, stage: str, reason: str) -> Decision:
    return Decision(id=id, verdict=verdict, stage=stage, reason=reason, by="b", at=now())  # type: ignore[arg-type]


RECORDS = [
    CatalogueRecord(id="fma:1", duration=1800, sample_rate=44100, channels=2, licence=HOSTILE),
    CatalogueRecord(id="fma:2", duration=3600, sample_rate=48000, tags=(HOSTILE, "Bell")),
    CatalogueRecord(id="freesound:3", duration=5, licence="CC0", tags=("bell",)),
    CatalogueRecord(id="freesound:4"),
]
DECISIONS = [
    decision("fma:1", "drop", "music", "music for 34.5 s"),
    decision("fma:2", "drop", "music", "music for 70 s"),
    decision("freesound:3", "review", "duplicates", f"like fma:12 {HOSTILE}"),
    decision("fma:2", "keep", "review", "own"),
]


def test_the_page_is_escaped_and_alone() -> None:
    page = ParsedPage(report_page(HOSTILE, RECORDS, DECISIONS))
    names = {tag for tag, _ in page.tags}
    assert "script" not in names
    assert {"img", "table"} <= names
    assert page.all("a", "href") == []
    assert all(source.startswith("data:image/svg+xml;base64,") for source in page.all("img", "src"))
    assert page.by_tag["title"] == page.by_tag["h1"] == [HOSTILE]
    assert [HOSTILE, "1", "0.50", "0", "0.00"] in page.rows_below["Licences"]
    assert [HOSTILE.lower(), "1"] in page.rows_below["Commonest tags"]


def test_the_figures() -> None:
    """Names and numbers of recordings, of each kind that is counted; the longest name is cut."""
    page = ParsedPage(report_page("c", RECORDS, DECISIONS))
    shown = {picture.alt: picture.texts for picture in page.pictures}
    assert shown.keys() == {
        "Recordings by source", "Recordings by licence", "Durations", "Sample rates", "Channels",
        "Commonest tags", "Decisions by stage",
    }  # fmt: skip
    assert shown["Recordings by source"] == ["fma", "freesound", "2", "2"]
    assert shown["Sample rates"] == ["unknown", "44100 Hz", "48000 Hz", "2", "1", "1"]
    assert shown["Channels"] == ["unknown", "2", "3", "1"]
    assert shown["Decisions by stage"] == [
        *("duplicates: review", "music: drop", "review: keep"),
        *("1", "2", "1"),
    ]
    assert f"{HOSTILE[:37]}…" in shown["Recordings by licence"]
    # The same values for who does not see them.
    assert ["5 to 10 s", "1"] in page.rows_below["Durations"]
    assert ["44100 Hz", "1"] in page.rows_below["Sample rates"]
    assert ["2", "1"] in page.rows_below["Channels"]
    assert ["bell", "2"] in page.rows_below["Commonest tags"]


def test_the_numbers() -> None:
    page = ParsedPage(report_page("c", RECORDS, DECISIONS))
    assert ["fma", "2", "1.50", "1", "1.00"] in page.rows
    assert ["freesound", "2", "0.00", "1", "0.00"] in page.rows
    assert ["drop", "1", "0.50"] in page.rows
    assert ["keep", "1", "1.00"] in page.rows
    assert ["undecided", "1", "0.00"] in page.rows
    assert ["music", "drop", "music for … s", "2"] in page.rows
    assert "4 recordings, 1.50 hours; 2 stand, 1.00 hours." in page.by_tag["p"]


def test_what_is_left_out_is_named_and_counted() -> None:
    rejects = [
        Reject(source="s", position=n, raw=f"{n}\n.wav", reason=f"s/{n}\n.wav: empty ({n} bytes)")
        for n in (1, 2)
    ]
    decisions = [*DECISIONS, decision("freesound:4", "drop", "audio", "silent: peak -inf dB")]
    unusable = {HOSTILE: "no such file"}
    text = report_page("c", RECORDS, decisions, rejects=rejects, unusable=unusable)
    rows = ParsedPage(text).rows
    assert ["freesound:4", "audio", "silent: peak -inf dB", "b"] in rows
    assert ["fma:1", "music", "music for 34.5 s", "b"] in rows
    assert not any(row[0] == "fma:2" and len(row) == 4 for row in rows)  # kept by a person
    assert ["empty (… bytes)", "2"] in rows
    assert ["s:2", "2\\n.wav", "empty (2 bytes)"] in rows
    assert [HOSTILE, "no such file"] in rows


def test_long_lists_are_counted_and_cut() -> None:
    records = [CatalogueRecord(id=f"a:{n}") for n in range(LISTED + 2)]
    decisions = [decision(record.id, "drop", "audio", "silent") for record in records]
    page = ParsedPage(report_page("c", records, decisions))
    assert ["audio: silent", f"{LISTED + 2}"] in page.rows
    assert sum(row[1:3] == ["audio", "silent"] and len(row) == 4 for row in page.rows) == LISTED
    assert "And 2 more." in page.by_tag["p"]


def test_rejects_that_cannot_be_read(tmp_path: Path) -> None:
    assert read_rejects(tmp_path) == []
    (tmp_path / "rejects.jsonl").write_text("{\n")
    with pytest.raises(ValueError, match=r"rejects\.jsonl:1: not a reject"):
        read_rejects(tmp_path)


def test_durations_fall_into_bins() -> None:
    found = dict(durations(RECORDS))
    assert {name: n for name, n in found.items() if n} == {
        "5 to 10 s": 1,
        "10 to 60 min": 1,
        "1 h and more": 1,
        "unknown": 1,
    }
    assert next(iter(found)) == "under 1 s"


def test_an_empty_catalogue_and_patterns() -> None:
    page = ParsedPage(report_page("empty", [], []))
    assert page.rows_below["Durations"][0] == ["under 1 s", "0"]
    assert page.by_tag["p"][1:] == ["None."] * 10
    assert reason_pattern("copy of fma:12 (similarity 0.991)") == "copy of … (similarity …)"
