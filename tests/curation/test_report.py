from html.parser import HTMLParser
from pathlib import Path

import pytest

from stable_audio_open.curation.catalogue.decisions import Decision, now
from stable_audio_open.curation.catalogue.ingest import Reject
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.review.report import durations, report_page
from stable_audio_open.curation.review.report_faults import LISTED, read_rejects, reason_pattern
from stable_audio_open.pages.figures import bars

EVIL = '<script>alert("x")</script> & \'"'
VOID = {"meta"}


class Page(HTMLParser):
    """Tags, attributes and texts, with every element closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data)


def decision(id: str, verdict: str, stage: str, reason: str) -> Decision:
    return Decision(id=id, verdict=verdict, stage=stage, reason=reason, by="b", at=now())  # type: ignore[arg-type]


RECORDS = [
    CatalogueRecord(id="fma:1", duration=1800, sample_rate=44100, channels=2, licence=EVIL),
    CatalogueRecord(id="fma:2", duration=3600, sample_rate=48000, tags=(EVIL, "Bell")),
    CatalogueRecord(id="freesound:3", duration=5, licence="CC0", tags=("bell",)),
    CatalogueRecord(id="freesound:4"),
]
DECISIONS = [
    decision("fma:1", "drop", "music", "music for 34.5 s"),
    decision("fma:2", "drop", "music", "music for 70 s"),
    decision("freesound:3", "review", "duplicates", f"like fma:12 {EVIL}"),
    decision("fma:2", "keep", "review", "own"),
]


def test_the_page_is_well_formed_escaped_and_alone() -> None:
    text = report_page(EVIL, RECORDS, DECISIONS)
    page = Page(text)
    names = {tag for tag, _ in page.tags}
    assert names.isdisjoint({"script", "link", "img", "iframe"})
    assert {"svg", "rect", "table"} <= names
    attributes = {name for _, attributes in page.tags for name in attributes}
    assert attributes.isdisjoint({"src", "href", "onload", "style"})
    assert "http" not in text
    assert EVIL in page.texts
    assert any(EVIL in row for row in page.rows)


def test_the_numbers() -> None:
    page = Page(report_page("c", RECORDS, DECISIONS))
    assert ["fma", "2", "1.50", "1", "1.00"] in page.rows
    assert ["freesound", "2", "0.00", "1", "0.00"] in page.rows
    assert ["drop", "1", "0.50"] in page.rows
    assert ["keep", "1", "1.00"] in page.rows
    assert ["undecided", "1", "0.00"] in page.rows
    assert ["music", "drop", "music for … s", "2"] in page.rows
    assert any("4 recordings, 1.50 hours; 2 stand, 1.00 hours" in text for text in page.texts)


def test_what_is_left_out_is_named_and_counted() -> None:
    rejects = [
        Reject(source="s", position=n, raw=f"{n}\n.wav", reason=f"s/{n}\n.wav: empty ({n} bytes)")
        for n in (1, 2)
    ]
    decisions = [*DECISIONS, decision("freesound:4", "drop", "audio", "silent: peak -inf dB")]
    unusable = {EVIL: "no such file"}
    text = report_page("c", RECORDS, decisions, rejects=rejects, unusable=unusable)
    rows = Page(text).rows
    assert ["freesound:4", "audio", "silent: peak -inf dB", "b"] in rows
    assert ["fma:1", "music", "music for 34.5 s", "b"] in rows
    assert not any(row[0] == "fma:2" and len(row) == 4 for row in rows)  # kept by a person
    assert ["empty (… bytes)", "2"] in rows
    assert ["s:2", "2\\n.wav", "empty (2 bytes)"] in rows
    assert [EVIL, "no such file"] in rows


def test_long_lists_are_counted_and_cut() -> None:
    records = [CatalogueRecord(id=f"a:{n}") for n in range(LISTED + 2)]
    decisions = [decision(record.id, "drop", "audio", "silent") for record in records]
    page = Page(report_page("c", records, decisions))
    assert ["audio: silent", f"{LISTED + 2}"] in page.rows
    assert sum(row[1:3] == ["audio", "silent"] and len(row) == 4 for row in page.rows) == LISTED
    assert "And 2 more." in page.texts


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


def test_bars_are_in_proportion() -> None:
    page = Page(bars("t", [("a", 4), ("b", 1), ("c", 0)], unit=" s"))
    widths = [float(a["width"] or 0) for tag, a in page.tags if tag == "rect"]
    assert widths == [420.0, 105.0, 0.0]
    assert [text for text in page.texts if text.endswith(" s")] == ["4 s", "1 s", "0 s"]
    Page(bars("nothing", []))
    with pytest.raises(ValueError, match="bars need values of 0 or more"):
        bars("t", [("a", -1)])


def test_an_empty_catalogue_and_patterns() -> None:
    Page(report_page("empty", [], []))
    assert reason_pattern("copy of fma:12 (similarity 0.991)") == "copy of … (similarity …)"
