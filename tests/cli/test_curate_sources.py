import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import soundfile

from stable_audio_open.curation.catalogue.decisions import (
    Decision,
    add_decisions,
    now,
    read_decisions,
)

Run = Callable[..., "CompletedProcess[str]"]

ZERO = "http://creativecommons.org/publicdomain/zero/1.0/"
BY = "https://creativecommons.org/licenses/by/4.0/"


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    lines = [
        {"id": 1, "name": "a", "username": "ann", "license": ZERO},
        {"id": 2, "name": "b", "username": "bob", "license": BY},
        {"id": 3, "name": "c", "username": "bob", "license": "CC BY-NC 4.0"},
        {"id": 4, "name": "d", "license": ZERO},
        {"id": 5, "name": "e", "username": "eve", "license": ZERO},
        {"id": 5},
    ]
    path = tmp_path / "sounds.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + "broken\n")
    return path


def test_from_a_catalogue_to_its_attributions(run: Run, sounds: Path, tmp_path: Path) -> None:
    ingested = run("curate", "ingest", "freesound", "sounds.jsonl", "-o", "c")
    assert ingested.stderr == ""
    assert ingested.stdout == "c: 5 records, 0 with a file; 2 rejects in c/rejects.jsonl\n"
    early = run("curate", "attributions", "c", "-o", "out")
    assert early.returncode == 2
    assert early.stderr.startswith(
        "stable-audio-open: 2 recordings have no accepted licence or no author (freesound:3: "
        "CC-BY-NC 4.0 forbids commercial use (NC); freesound:4: no author is given"
    )
    for added in (2, 0):
        assert run("curate", "licences", "c").stdout == (
            "        2  CC0 1.0  accepted\n"
            "        1  CC-BY 4.0  accepted\n"
            "        1  CC-BY-NC 4.0  refused\n"
            "        1  CC0 1.0  refused: no author\n"
            f"c: 3 of 5 records accepted; {added} decisions added\n"
        )
    assert [decision.id for decision in read_decisions(tmp_path / "c")] == [
        "freesound:3",
        "freesound:4",
    ]
    waiting = Decision(
        id="freesound:5", verdict="review", stage="music", reason="r", by="b", at=now()
    )
    add_decisions(tmp_path / "c", [waiting])
    shown = run("curate", "attributions", "c", "-o", "out")
    assert shown.stdout == "out: 2 recordings in ATTRIBUTIONS.md and attributions.csv\n"
    assert named(tmp_path) == ["freesound:1", "freesound:2"]
    assert (
        "| a | ann | <https://freesound.org/s/1/> |"
        in (tmp_path / "out" / "ATTRIBUTIONS.md").read_text()
    )


def named(folder: Path) -> list[str]:
    with (folder / "out" / "attributions.csv").open(newline="") as file:
        return [row["id"] for row in csv.DictReader(file)]


def test_attributions_of_what_a_training_used(run: Run, sounds: Path, tmp_path: Path) -> None:
    run("curate", "ingest", "freesound", "sounds.jsonl", "-o", "c")
    (tmp_path / "used.jsonl").write_text('{"source": "freesound:5"}\n{"source": "freesound:1"}\n')
    command = ("curate", "attributions", "c", "-o", "out", "--used", "used.jsonl")
    assert run(*command).returncode == 0
    assert named(tmp_path) == ["freesound:1", "freesound:5"]
    (tmp_path / "used.jsonl").write_text('{"source": "freesound:3"}\n')
    assert run(*command).stderr.startswith("stable-audio-open: 1 recordings have no accepted")
    assert run(*command, "--allow-unlicensed").returncode == 0
    assert named(tmp_path) == ["freesound:3"]
    (tmp_path / "used.jsonl").write_text('{"source": "freesound:9"}\n')
    assert run(*command).stderr == (
        "stable-audio-open: used.jsonl: 1 of 1 sources are not in the catalogue (freesound:9); "
        "give the catalogue that the set was built from\n"
    )


def test_a_folder_and_nothing_but_rejects(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "audio"
    folder.mkdir()
    soundfile.write(folder / "kick.wav", np.zeros((100, 2)), 8000)
    (folder / "kick.json").write_text(json.dumps({"licence": ZERO, "author": "ann"}))
    (folder / "text.wav").write_text("text")
    shown = run("curate", "ingest", "folder", "audio", "-o", "c")
    assert shown.stdout == "c: 1 records, 1 with a file; 1 rejects in c/rejects.jsonl\n"
    (folder / "kick.wav").unlink()
    bad = run("curate", "ingest", "folder", "audio", "-o", "d")
    assert bad.returncode == 2
    assert bad.stderr == "stable-audio-open: d: no row could be used; see d/rejects.jsonl\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["folder", "a", "b"], 2, "folder takes one SOURCE, which holds the recordings, and no"),
        (["fma", "nowhere"], 1, "nowhere: no such file or folder"),
        (["fma", "."], 1, "genres.csv: No such file or directory"),
        (["freesound", "."], 2, ".: holds no file *.json, *.jsonl, *.ndjson"),
        (["web", "a"], 2, "Invalid value for 'kind'"),
    ],
)
def test_wrong_use_is_one_line(
    run: Run, arguments: list[str], code: int, message: str, tmp_path: Path
) -> None:
    shown = run("curate", "ingest", *arguments, "-o", "c")
    assert shown.returncode == code
    assert shown.stderr.startswith(f"stable-audio-open: {message}")
    assert shown.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_catalogue_is_replaced_when_told(run: Run, sounds: Path) -> None:
    command = ("curate", "ingest", "freesound", "sounds.jsonl", "-o", "c")
    assert run(*command).returncode == 0
    assert run(*command).stderr == (
        "stable-audio-open: c: holds a catalogue; give another folder, or --replace to read it "
        "anew\n"
    )
    assert run(*command, "--replace").returncode == 0


def test_no_catalogue_is_told(run: Run) -> None:
    for command in (["licences", "c"], ["attributions", "c", "-o", "out"]):
        shown = run("curate", *command)
        assert shown.returncode == 2
        assert shown.stderr.startswith("stable-audio-open: c: holds no catalogue")


@pytest.mark.parametrize("command", ["fetch", "ingest", "licences", "attributions"])
def test_help_imports_nothing_slow(command: str, tmp_path: Path) -> None:
    code = (
        "import sys; from stable_audio_open.cli.main import main; main(sys.argv[1:]); "
        "slow = {'torch', 'numpy', 'pyarrow', 'httpx', 'mutagen'} & set(sys.modules); "
        "print(); print('SLOW', *slow)"
    )
    words = [sys.executable, "-c", code, "curate", command, "--help"]
    result = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout.splitlines()[-1].strip() == "SLOW"
