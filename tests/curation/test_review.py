import csv
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from stable_audio_open.curation.catalogue.decisions import Decision, final_decisions, now
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.review.page import write_page
from stable_audio_open.curation.review.table import Answers, open_cases, read_answers, write_table
from tests.parsed_page import HOSTILE, ParsedPage

RECORDS = [
    CatalogueRecord(
        id='folder:a b/"k" #1.wav',
        title=HOSTILE,
        artist="=SUM(A1)",
        licence=HOSTILE,
        page_url="javascript:alert(1)",
        file='a b/"k" #1.wav',
    ),
    CatalogueRecord(id="fma:2", title="two\nlines", page_url="https://example.org/?a=1&b=2"),
    CatalogueRecord(id="fma:3"),
    CatalogueRecord(id="fma:4"),
]


def decision(key: str, verdict: str, stage: str, reason: str = "r") -> Decision:
    return Decision(id=key, verdict=verdict, stage=stage, reason=reason, by="p", at=now())  # type: ignore[arg-type]


DECISIONS = [
    decision(RECORDS[0].id, "review", "music", HOSTILE),
    decision(RECORDS[0].id, "review", "search", "artist x"),
    decision(RECORDS[0].id, "review", "search", "artist y"),
    decision("fma:2", "review", "music", "31 s"),
    decision("fma:3", "review", "music"),
    decision("fma:3", "keep", "review"),
    decision("fma:4", "keep", "music"),
]


def test_what_is_open(tmp_path: Path) -> None:
    cases = open_cases(RECORDS, DECISIONS)
    assert [case.record.id for case in cases] == [RECORDS[0].id, "fma:2"]
    assert [d.reason for d in cases[0].reasons] == [HOSTILE, "artist y"]

    write_table(tmp_path / "review.csv", cases)
    with (tmp_path / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["id"], first["verdict"], first["note"]) == (RECORDS[0].id, "", "")
    assert (first["title"], first["artist"]) == (HOSTILE, "'=SUM(A1)")
    assert first["reasons"] == f"{HOSTILE} | artist y"
    assert (second["id"], second["title"], second["stages"]) == ("fma:2", "two\nlines", "music")


def test_an_identifier_that_is_a_formula_comes_back(tmp_path: Path) -> None:
    record = CatalogueRecord(id="=folder/a.wav")
    waits = [decision(record.id, "review", "music")]
    path = tmp_path / "review.csv"
    write_table(path, open_cases([record], waits))
    text = path.read_text(encoding="utf-8-sig")
    assert "\n'=folder/a.wav,,," in text
    path.write_text(text.replace(",,,", ",drop,'=not sound,", 1))
    (answer,) = read_answers(path, [record.id], waits, by="ann").decisions
    assert (answer.id, answer.verdict, answer.reason) == (record.id, "drop", "=not sound")


def test_the_page_escapes_everything_and_finds_the_audio(tmp_path: Path) -> None:
    audio = tmp_path / "sounds"
    (audio / "a b").mkdir(parents=True)
    (audio / RECORDS[0].file).touch()  # type: ignore[operator]
    (tmp_path / "out" / "review").mkdir(parents=True)
    path = tmp_path / "out" / "review" / "review.html"
    write_page(path, open_cases(RECORDS, DECISIONS), audio=audio)
    page = ParsedPage(path)
    assert len(page.by_tag["script"]) == 1  # ours
    assert "".join(page.texts).count(HOSTILE) == 3  # title, licence, reason
    assert page.by_tag["h1"] == ["2 recordings wait for a decision"]
    assert page.all("a", "href") == ["https://example.org/?a=1&b=2"]
    identifiers = [key for key in page.all("tr", "data-id") if key]
    assert identifiers == [RECORDS[0].id, "fma:2"]
    (player,) = page.all("audio", "src")
    assert player.startswith("../../sounds/")
    assert (path.parent / unquote(player)).resolve() == (audio / RECORDS[0].file).resolve()  # type: ignore[operator]
    for tag, label in (("select", "verdict on "), ("input", "note on ")):
        assert page.all(tag, "aria-label") == [f"{label}{key}" for key in identifiers]
    assert page.all("audio", "aria-label") == [f"recording {RECORDS[0].id}"]
    assert '["id,verdict,note", ...lines]' in page.by_tag["script"][0]

    write_page(path, open_cases(RECORDS, DECISIONS), audio=None)
    assert ParsedPage(path).all("audio", "src") == []


def answers(
    tmp_path: Path, text: str, by: str = "Ana", taken: list[Decision] = DECISIONS
) -> Answers:
    path = tmp_path / "review.csv"
    path.write_text(text, encoding="utf-8")
    return read_answers(path, [record.id for record in RECORDS], taken, by=by)


def test_verdicts_come_back(tmp_path: Path) -> None:
    write_table(tmp_path / "review.csv", open_cases(RECORDS, DECISIONS))
    text = (tmp_path / "review.csv").read_text(encoding="utf-8-sig")
    filled = text.replace('#1.wav",,,', '#1.wav", Drop ,radio in the background,')
    filled = filled.replace("fma:2,,,", "fma:2,keep,,")
    found = answers(tmp_path, filled + "fma:3,,\n")
    first, second = found.decisions
    assert (first.id, first.verdict, first.stage, first.by) == (
        RECORDS[0].id,
        "drop",
        "review",
        "Ana",
    )
    assert first.reason == "radio in the background"
    assert (second.verdict, second.reason) == ("keep", "no note; music said: 31 s")
    assert (found.open, found.known) == (1, 0)

    taken = [*DECISIONS, *found.decisions]
    held = final_decisions(taken)
    assert (held[RECORDS[0].id].verdict, held["fma:2"].verdict) == ("drop", "keep")
    assert open_cases(RECORDS, taken) == []
    again = answers(tmp_path, filled, taken=taken)
    assert (again.decisions, again.known) == ([], 2)
    other = answers(tmp_path, filled, taken=taken, by="Bo")
    assert len(other.decisions) == 2  # another person's word counts


@pytest.mark.parametrize("text", ["id;verdict\nfma:2;drop\n", "\ufeffverdict,id\ndrop,fma:2\n"])
def test_other_tables(tmp_path: Path, text: str) -> None:
    (found,) = answers(tmp_path, text).decisions
    assert (found.id, found.verdict) == ("fma:2", "drop")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,verdict\nfma:2,keep\nfma:9,keep\n", "line 3: 'fma:9' is not in the catalogue"),
        ("id,verdict\nfma:2,yes\n", "line 2: verdict 'yes'; allowed: keep, drop or nothing"),
        ("id,verdict\nfma:2,keep\nfma:2,\n", "line 2: 'fma:2' stands 2 times in the table; line 3"),
        (
            "id,verdict\n" + "fma:9,keep\n" * 7,
            "line 6: 'fma:9' is not in the catalogue; and 2 more",
        ),
    ],
)
def test_one_wrong_line_and_nothing_is_taken_over(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"nothing is taken over: .*{re.escape(message)}"):
        answers(tmp_path, text)


def test_a_drop_has_a_reason_and_a_person(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 2: 'fma:2' is dropped without a reason; fill in"):
        answers(tmp_path, "id,verdict\nfma:2,drop\n", taken=[])
    assert len(answers(tmp_path, "id,verdict,note\nfma:2,drop,mine\n", taken=[]).decisions) == 1
    with pytest.raises(ValueError, match=r"who decided\? give a name"):
        answers(tmp_path, "id,verdict\nfma:2,keep\n", by=" ")
    with pytest.raises(ValueError, match="has no column 'verdict'; the columns are id, note"):
        answers(tmp_path, "id,note\nfma:2,x\n")
