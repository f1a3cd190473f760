import csv
from pathlib import Path

import pytest

from stable_audio_open.curation.catalogue.decisions import Decision, now
from stable_audio_open.curation.catalogue.parquet import read_catalogue, write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.licences.attributions import (
    require_all,
    stands,
    used_ids,
    write_attributions,
)

RECORDS = [
    CatalogueRecord(
        id="freesound:1",
        title="kick",
        author="ann",
        licence="http://creativecommons.org/publicdomain/zero/1.0/",
        page_url="https://freesound.org/people/ann/sounds/1/",
    ),
    CatalogueRecord(
        id="fma:2",
        title="Food | [live]\n<b>*",
        author="AW_OL",
        licence="Attribution 3.0 International",
    ),
    CatalogueRecord(
        id="freesound:3",
        author='b"ob, \U0001f941',
        licence="https://creativecommons.org/licenses/sampling%2B/1.0/legalcode",
        page_url="javascript:alert(1)",
    ),
]
ZERO = "https://creativecommons.org/publicdomain/zero/1.0/"
BY = "https://creativecommons.org/licenses/by/3.0/"
PLUS = "https://creativecommons.org/licenses/sampling+/1.0/"

TEXT = f"""\
# Attributions

3 recordings. Changes: cut \\*and\\* trimmed.

| Licence | Recordings |
|---|---|
| [CC Sampling+ 1.0]({PLUS}) | 1 |
| [CC-BY 3.0]({BY}) | 1 |
| [CC0 1.0]({ZERO}) | 1 |

| Title | Author | Source | Licence |
|---|---|---|---|
| kick | ann | <https://freesound.org/people/ann/sounds/1/> | [CC0 1.0]({ZERO}) |
| Food \\| \\[live\\] \\<b\\>\\* | AW\\_OL | fma:2 | [CC-BY 3.0]({BY}) |
| freesound:3 | b"ob, \U0001f941 | javascript:alert(1) | [CC Sampling+ 1.0]({PLUS}) |
"""


def test_the_exact_text_and_table(tmp_path: Path) -> None:
    write_catalogue(tmp_path / "c", RECORDS)
    count = write_attributions(
        lambda: read_catalogue(tmp_path / "c"), tmp_path / "out", changes="cut *and* trimmed"
    )
    assert count == 3
    assert (tmp_path / "out" / "ATTRIBUTIONS.md").read_text(encoding="utf-8") == TEXT
    with (tmp_path / "out" / "attributions.csv").open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "title", "author", "source_url", "licence", "licence_url", "changes"]
    changes = "cut *and* trimmed"
    assert rows == [
        ["freesound:1", "kick", "ann", RECORDS[0].page_url, "CC0 1.0", ZERO, changes],
        ["fma:2", RECORDS[1].title, "AW_OL", "", "CC-BY 3.0", BY, changes],
        [
            "freesound:3",
            "freesound:3",
            RECORDS[2].author,
            "javascript:alert(1)",
            "CC Sampling+ 1.0",
            PLUS,
            changes,
        ],
    ]


def test_no_cell_of_the_table_is_a_formula(tmp_path: Path) -> None:
    record = CatalogueRecord(id="=1", title="@SUM(A1)", author="-3", page_url="\t=2", licence="+x")
    write_attributions(lambda: [record], tmp_path, changes="=HYPERLINK(1)")
    with (tmp_path / "attributions.csv").open(encoding="utf-8", newline="") as file:
        _, row = csv.reader(file)
    assert row == ["'=1", "'@SUM(A1)", "-3", "'\t'=2", "'+x", "", "'=HYPERLINK(1)"]


def test_only_what_is_kept_or_undecided_stands() -> None:
    def decided(verdict: str) -> dict[str, Decision]:
        decision = Decision(
            id="freesound:1",
            verdict=verdict,  # type: ignore[arg-type]
            stage="music",
            reason="r",
            by="b",
            at=now(),
        )
        return {decision.id: decision}

    assert stands(RECORDS[0], {})
    assert stands(RECORDS[0], decided("keep"))
    assert not stands(RECORDS[0], decided("review"))
    assert not stands(RECORDS[0], decided("drop"))


def test_a_manifest_names_what_was_used(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(
        '{"file": "a", "caption": "c", "source": "fma:2"}\n\n'
        '{"file": "b", "caption": "c", "source": "fma:2"}\n'
    )
    assert used_ids(path) == {"fma:2"}
    require_all(used_ids(path), RECORDS, path)
    with pytest.raises(
        ValueError, match=r"1 of 2 sources are not in the catalogue \(fma:9\); give the catalogue"
    ):
        require_all({"fma:2", "fma:9"}, RECORDS, path)
    path.write_text('{"source": "fma:2"}\n{"file": "a"}\n')
    with pytest.raises(ValueError, match=r"manifest\.jsonl:2: .*`source`.*; every recording used"):
        used_ids(path)
