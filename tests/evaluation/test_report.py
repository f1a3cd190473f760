"""Our rows beside the paper's, from the results of the metrics to the three files."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from msgspec.structs import replace

from stable_audio_open.evaluation.generations.sets import (
    ReconstructionSettings,
    SetFile,
    open_set,
    write_set_files,
)
from stable_audio_open.evaluation.report.page import spread
from stable_audio_open.evaluation.report.published import TABLES
from stable_audio_open.evaluation.report.results import read_result, read_results
from stable_audio_open.evaluation.report.tables import ReportRow, read_runs, tables
from stable_audio_open.evaluation.report.writing import write_report
from tests.evaluation.test_made import SETTINGS
from tests.parsed_page import HOSTILE, ParsedPage

COMMON: dict[str, Any] = {"definition": "as the paper", "audio": "x", "files": 3, "version": "0.1"}
FRECHET: dict[str, Any] = {
    "checkpoint": "OpenL3 mel256_env",
    "checkpoint_hash": "abc",
    "definition": "left and right joined, through 44.1 kHz",
    "reference_files": 2,
    "distance": 88.125,
}
KL: dict[str, Any] = {
    "checkpoint": "PaSST",
    "definition": "KL(generated || reference), 1e-06 added to the reference; softmax of the mean "
    "logits of the windows",
    "divergence": 2.5,
    "extra": ["7"],
    "missing": ["8", "9"],
}
CLAP: dict[str, Any] = {
    "checkpoint": "clap:630k-audioset-fusion-best.pt:123",
    "definition": "a random 10 s of each third fused with the whole, of longer recordings",
    "score": 0.277,
    "per_prompt": [],
}
MEAN = {"stft": 1.26, "mel": 0.87, "si_sdr": -1.5, "multi_resolution_stft": 3.0}


def put(folder: Path, subset: str, name: str, result: dict[str, Any]) -> Path:
    path = folder / "results" / subset / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(COMMON | result))
    return path


@pytest.fixture
def generations(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / "generations"
    settings = replace(SETTINGS, model="my_model", sample_rate=44100)
    open_set(folder, settings)
    items = [
        SetFile(id=f"{i}", file=f"{i} %.flac", clip="c", prompt=f"rain <b>{i}</b>", seed=i)
        for i in range(3)
    ]
    for item in items:
        (folder / item.file).touch()
    write_set_files(folder, items)
    return folder


@pytest.fixture
def reconstructions(tmp_path: Path) -> Path:
    folder = tmp_path / "out" / "reconstructions"
    settings = ReconstructionSettings(
        model="my_model",
        weights="0123456789abcdef",
        protocol="song-describer",
        prompts="ab" * 32,
        sample_rate=44100,
        channels=2,
        downsampling=2048,
        latent_channels=64,
    )
    open_set(folder, settings)
    (folder / "5.flac").touch()
    write_set_files(folder, [SetFile(id="5", file="5.flac", clip="5")])
    return folder


def ours(folder: Path) -> dict[int, list[ReportRow]]:
    found = {table.number: table.rows for table in tables(read_runs([folder]))}
    return {n: [row for row in rows if row.ours] for n, rows in found.items()}


def test_generations_stand_in_tables_1_and_5(generations: Path):
    put(generations, "all", "frechet", FRECHET)
    put(generations, "all", "kl", KL)
    put(generations, "all", "clap", CLAP)
    put(generations, "no-connectors", "clap", CLAP | {"score": 0.5, "files": 1711})
    rows = ours(generations)
    assert {n for n, found in rows.items() if found} == {1, 5}
    (row,) = rows[1]
    assert (row.model, row.source) == ("my_model", "ours")
    assert row.about == ("2/44.1kHz", "10 sec")
    assert row.values == (88.125, 2.5, 0.277)
    assert [(row.about, row.values) for row in rows[5]] == [
        (("all prompts", "3"), (0.277,)),
        (("no speech prompts", "-"), (None,)),
        (("no connectors prompts", "1,711"), (0.5,)),
        (("no speech & connectors", "-"), (None,)),
    ]


def test_reconstructions_stand_in_tables_4_and_7(reconstructions: Path):
    put(reconstructions, "no-singing", "reconstruction", {"mean": MEAN})
    rows = ours(reconstructions)
    assert {n for n, found in rows.items() if found} == {4, 7}
    assert rows[4][0].about == ("44.1kHz", "21.5Hz", "continuous (64)")
    assert rows[4][0].values == (1.26, 0.87, -1.5)
    (table,) = (table for table in tables(read_runs([reconstructions])) if table.number == 4)
    assert table.notes[1:] == (
        "my_model, stft_distance, mel_distance, si_sdr: no singing, 3 files; as the paper",
    )
    assert rows[7][0].values == (None, None, None)


def test_notes_say_what_measured_and_on_how_much(generations: Path):
    put(generations, "all", "kl", KL)
    (table,) = (table for table in tables(read_runs([generations])) if table.number == 1)
    assert table.notes[-1] == (
        "my_model, kl_passt: by PaSST, all prompts, 3 files, 1 file without a reference, "
        f"2 references without a file; {KL['definition']}"
    )


def test_notes_say_what_to_mind(generations: Path):
    put(generations, "all", "frechet", FRECHET | {"caution": "few windows"})
    (table,) = (table for table in tables(read_runs([generations])) if table.number == 1)
    assert table.notes[-1].endswith("through 44.1 kHz; few windows")


def test_notes_of_sets_count_both(generations: Path):
    put(generations, "all", "frechet", FRECHET)
    (table,) = (table for table in tables(read_runs([generations])) if table.number == 1)
    assert table.notes[-1] == (
        "my_model, fd_openl3: by OpenL3 mel256_env, weights abc, all prompts, 3 files against 2; "
        "left and right joined, through 44.1 kHz"
    )


def test_notes_tell_of_silence(generations: Path, reconstructions: Path):
    put(generations, "all", "clap", CLAP | {"silent": ["0", "2"]})
    put(reconstructions, "no-singing", "x", {"mean": MEAN, "silent_originals": ["5"]})
    notes = {
        table.number: table.notes[-1]
        for table in tables(read_runs([generations, reconstructions]))
        if table.number in (1, 4)
    }
    assert "3 files, 2 of them silent; " in notes[1]
    assert "3 files, 1 silent original left out; " in notes[4]


@pytest.mark.parametrize(
    ("metric", "other"),
    [
        (FRECHET, {"checkpoint": "OpenL3 openl3_audio_mel256_music.h5 sha256:1"}),
        (FRECHET, {"definition": "mean of the channels, through 44.1 kHz"}),
        (KL, {"checkpoint": "PANNs"}),
        (KL, {"definition": KL["definition"].replace("generated || ref", "reference || gen")}),
        (CLAP, {"checkpoint": "clap:music_audioset_epoch_15.pt:1"}),
        (CLAP, {"definition": "a random 3 s of longer recordings"}),
    ],
)
def test_another_network_or_definition_is_not_the_papers_metric(
    generations: Path, metric: dict[str, Any], other: dict[str, Any]
):
    put(generations, "all", "x", metric)
    assert [value is None for value in ours(generations)[1][0].values].count(False) == 1
    put(generations, "all", "x", metric | other)
    assert ours(generations)[1][0].values == (None, None, None)


def test_the_content_that_openl3_was_trained_on_is_the_protocols(reconstructions: Path):
    settings = replace(SETTINGS, protocol="song-describer")
    folder = reconstructions.with_name("songs")
    open_set(folder, settings)
    write_set_files(folder, [])
    env, music = "OpenL3 openl3_audio_mel256_env.h5", "OpenL3 openl3_audio_mel256_music.h5"
    for checkpoint, value in ((env, None), (music, 88.125)):
        put(folder, "no-singing", "frechet", FRECHET | {"checkpoint": checkpoint})
        assert ours(folder)[2][0].values == (value, None, None)


def test_two_results_of_one_metric_are_refused(generations: Path):
    put(generations, "all", "frechet", FRECHET)
    put(generations, "all", "second", FRECHET)
    with pytest.raises(
        ValueError, match=r"second\.json: holds fd_openl3, as .*frechet\.json does; "
    ):
        ours(generations)


def test_another_network_is_not_the_papers_metric(generations: Path):
    """musicnn's distance must not stand beside those of OpenL3."""
    put(generations, "all", "frechet", FRECHET | {"checkpoint": "musicnn:MTT"})
    (table,) = (table for table in tables(read_runs([generations])) if table.number == 1)
    assert table.rows[-1].values == (None, None, None)
    assert table.notes[-1].startswith(
        "my_model, frechet_distance 88.12 (not the paper's metric): by musicnn:MTT, weights abc, "
    )


def test_a_folder_of_folders(generations: Path, reconstructions: Path):
    runs = read_runs([generations.parent])
    assert [run.kind for run in runs] == ["generation", "reconstruction"]


def test_markdown(generations: Path, tmp_path: Path):
    put(generations, "all", "frechet", FRECHET)
    write_report(tmp_path / "report", read_runs([generations]), players=1)
    text = (tmp_path / "report" / "report.md").read_text()
    assert len(re.findall(r"^## Table \d\.", text, re.MULTILINE)) == 7
    for line in (
        "|  | channels/sr | output length | FD\\_openl3 ↓ | KL\\_passt ↓ | CLAP\\_score ↑ |",
        "| AudioLDM2-48kHz \\[4] | 1/48kHz | 10 sec | 101.11 | 2.04 | 0.37 |",
        "| Stable Audio Open (published) | 2/44.1kHz | 47 sec † | 78.24 | 2.14 | 0.29 |",
        "| **my\\_model (ours)** | **2/44.1kHz** | **10 sec** | **88.12** | **-** | **-** |",
    ):
        assert line in text.splitlines()
    tables = [line.count("|") - line.count("\\|") for line in text.splitlines() if line[:1] == "|"]
    assert set(tables) == {5, 7, 8}


def test_json_holds_all_digits(generations: Path, tmp_path: Path):
    put(generations, "all", "frechet", FRECHET | {"distance": 88.123456789})
    write_report(tmp_path, read_runs([generations]), players=1)
    report = json.loads((tmp_path / "report.json").read_text())
    row = report["tables"][0]["rows"][-1]
    assert row["values"] == [88.123456789, None, None]
    assert row["ours"] is True
    assert report["runs"][0]["settings"]["weights"] == "0123456789abcdef"
    assert report["runs"][0]["measurements"][0]["by"] == "OpenL3 mel256_env"


def test_page_plays_files_relative_to_itself_and_escapes(generations: Path, tmp_path: Path):
    folder = tmp_path / "elsewhere" / "report"
    write_report(folder, read_runs([generations]), players=2)
    page = ParsedPage(folder / "report.html")
    assert page.all("audio", "src") == [
        "../../out/generations/0%20%25.flac",
        "../../out/generations/1%20%25.flac",
    ]
    prompts = [f"rain <b>{number}</b>" for number in (0, 1)]
    assert page.all("audio", "aria-label") == prompts
    assert [row[0] for row in page.rows_below["my_model: generations for audiocaps"]] == prompts
    assert "b" not in page.by_tag
    assert len(page.by_tag["table"]) == 8
    table = page.rows_below["Table 1. " + read_title(1)]
    assert ["2/44.1kHz", "47 sec †", "78.24", "2.14", "0.29"] in table
    assert page.all("tr", "class") == ["ours"] * 5


def read_title(number: int) -> str:
    return next(table.title for table in TABLES if table.number == number)


def test_page_of_hostile_names(generations: Path, tmp_path: Path):
    settings = msgspec.json.decode((generations / "settings.json").read_bytes())
    (generations / "settings.json").write_text(json.dumps(settings | {"model": HOSTILE}))
    hostile = SetFile(id="0", file='"><script>.flac', clip="c", prompt=HOSTILE, seed=0)
    (generations / hostile.file).touch()
    write_set_files(generations, [hostile])
    put(generations, "all", "frechet", FRECHET | {"checkpoint": HOSTILE, "caution": HOSTILE})
    write_report(tmp_path / "report", read_runs([generations]), players=1)
    page = ParsedPage(tmp_path / "report" / "report.html")
    assert "script" not in page.by_tag
    assert page.all("audio", "aria-label") == [HOSTILE]
    assert unquote(page.all("audio", "src")[0]) == '../out/generations/"><script>.flac'
    assert f"{HOSTILE} (ours)" in page.by_tag["th"]
    assert page.by_tag["h2"][-1] == f"{HOSTILE}: generations for audiocaps"
    assert any(f"by {HOSTILE}" in note for note in page.by_tag["li"])


@pytest.mark.parametrize(
    ("count", "found"), [(0, ""), (1, "a"), (2, "ac"), (3, "abd"), (5, "abcde"), (9, "abcde")]
)
def test_players_are_spread_over_the_set(count: int, found: str):
    items = [SetFile(id=name, file=name, clip=name) for name in "abcde"]
    assert "".join(item.id for item in spread(items, count)) == found


def test_what_is_no_result(tmp_path: Path):
    path = put(tmp_path, "all", "sanity", {"median_seconds": 3.0})
    with pytest.raises(ValueError, match=r"sanity.json: holds no figure; known are distance, dive"):
        read_results(tmp_path, "audiocaps")
    path.write_text('{"distance": 1}')
    with pytest.raises(ValueError, match=r"not the result of a metric \(.*`definition`"):
        read_result(path, "all", "audiocaps")
    with pytest.raises(ValueError, match=r"of an unknown protocol 'clotho'; known: audiocaps, so"):
        read_result(put(tmp_path, "all", "clap", CLAP), "all", "clotho")


def test_a_folder_without_a_set(tmp_path: Path):
    with pytest.raises(ValueError, match=r"holds no settings.json; give a folder of `evaluate gen"):
        read_runs([tmp_path])
