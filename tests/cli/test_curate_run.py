"""`curate run`: a folder with good and broken recordings through all stages, and what trains."""

import csv
import json
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import soundfile

from stable_audio_open.curation.catalogue.decisions import read_decisions
from stable_audio_open.data.manifest import read_manifest
from tests.needs import needs_musicnn
from tests.parsed_page import ParsedPage

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]

ROOT = Path(__file__).parents[2]
RATE = 16000
ODD = "line\nbreak \U0001f941.wav"
DAY = 24 * 3600


def sound(seconds: float, seed: int) -> Any:
    noise = 9000 * np.random.default_rng(seed).standard_normal((int(seconds * RATE), 2))
    return noise.clip(-32768, 32767).astype(np.int16)


def describe(path: Path, author: str = "ann") -> None:
    text = {"title": path.stem, "author": author, "licence": "CC0", "tags": ["noise"]}
    path.with_suffix(".json").write_text(json.dumps(text))


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """Four good recordings, two of them the same; the longest is music to the tagger."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    soundfile.write(folder / "long.wav", sound(8, 0), RATE)
    soundfile.write(folder / "short.wav", sound(2, 1), RATE)
    soundfile.write(folder / "copy.flac", sound(2, 1), RATE)
    soundfile.write(folder / "bell.flac", sound(1, 2), RATE)
    for path in list(folder.iterdir()):
        describe(path, author="bob" if path.stem == "bell" else "ann")
    return folder


@pytest.fixture
def broken(sounds: Path) -> Path:
    """A broken recording of every kind beside the good ones; all but the links are described."""
    whole = (sounds / "short.wav").read_bytes()
    (sounds / ODD).write_bytes(whole)
    (sounds / "text.wav").write_text("this is not a recording")
    (sounds / "zero.wav").write_bytes(b"")
    (sounds / "cut.flac").write_bytes((sounds / "copy.flac").read_bytes()[:30000])
    soundfile.write(sounds / "seven.wav", np.tile(sound(1, 3)[:, :1], 7), RATE)
    nan = sound(1, 4) / 32768
    nan[RATE // 2] = np.nan
    soundfile.write(sounds / "nan.wav", nan, RATE, subtype="FLOAT")
    rate, block = 4000, np.zeros(1 << 20, np.int16)
    with soundfile.SoundFile(sounds / "day.flac", "w", rate, 1, subtype="PCM_16") as file:
        for first in range(0, DAY * rate, len(block)):
            file.write(block[: DAY * rate - first])
    (sounds / "sub").mkdir()
    (sounds / "sub" / "loop").symlink_to(sounds)
    (sounds / "own.wav").symlink_to(sounds / "own.wav")
    for name in (ODD, "text", "zero", "cut", "seven", "nan", "day"):
        describe(sounds / name)
    return sounds


@pytest.fixture
def config(tmp_path: Path, loudness_panns: Path) -> Path:
    (tmp_path / "works.csv").write_text("artist,title\nsomebody,else\n")
    settings = {
        "type": "curation",
        "name": "test <&>",
        "audio": "sounds",
        "output": "out",
        "sources": [{"type": "folder"}],
        "music": {"tagger": {"type": "panns", "path": str(loudness_panns)}, "seconds": 6},
        "search": {"list": "works.csv"},
    }
    path = tmp_path / "curation.json"
    path.write_text(json.dumps(settings))
    return path


def stages(result: CompletedProcess[str]) -> dict[str, str]:
    assert result.returncode == 0, result.stderr
    lines = (line.split(maxsplit=1) for line in result.stdout.splitlines())
    return {words[0]: words[1] for words in lines}


def decided(stage: str) -> dict[str, tuple[str, str]]:
    return {d.id: (d.verdict, d.reason) for d in read_decisions(Path("out")) if d.stage == stage}


REJECTED = {
    "text.wav": "not a readable audio file (Format not recognised)",
    "zero.wav": "the file is empty (0 bytes)",
    "cut.flac": "the file is truncated or damaged",
    "own.wav": "cannot be opened (Too many levels of symbolic links)",
    "sub/loop": "a link that leads back to itself or to a folder above it",
}
DROPPED = {
    "day.flac": "silent: peak -inf dB, 86400.0 s",
    "nan.wav": "holds NaN or infinite samples",
    "seven.wav": "7 channels, more than 2",
    ODD: "the path holds control characters ('line\\nbreak \U0001f941.wav')",
}


@pytest.mark.slow
def test_every_broken_input_is_named_with_its_reason(run: Run, broken: Path, config: Path) -> None:
    unit = 1 if sys.platform == "darwin" else 1024
    before = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = run("curate", "run", config)
    grown = unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # A day decoded at once would take 1.4 GB.
    assert grown < 500e6
    done = stages(result)
    assert done["ingest"] == "8 records, 8 with a file; 5 rejects"
    assert done["audio"] == "4 sound, 0 known to be, 4 dropped, 0 without a file"
    assert done["set"] == "2 recordings, 0.00 h in out/set"
    rejects = [json.loads(line) for line in Path("out/rejects.jsonl").read_text().splitlines()]
    page = ParsedPage(Path("out/report.html"))
    told = {row[1]: row[2] for row in page.rows_below["Rejected rows"] if len(row) == 3}
    assert {reject["raw"] for reject in rejects} == set(REJECTED) == set(told)
    for reject in rejects:
        assert REJECTED[reject["raw"]] in reject["reason"]
        assert told[reject["raw"]].startswith(REJECTED[reject["raw"]])
    dropped = {row[0]: row[2] for row in page.rows_below["Dropped recordings"] if len(row) == 4}
    for name, reason in DROPPED.items():
        verdict, said = decided("audio")[f"folder:{name}"]
        assert (verdict, said[: len(reason)]) == ("drop", reason)
        assert dropped.pop(f"folder:{name}".replace("\n", "\\n")) == said.replace("\n", "\\n")
    assert dropped == {"folder:short.wav": "exact copy of folder:copy.flac"}
    names = {
        recording.file for recording in read_manifest(Path("sounds"), "../out/set/manifest.jsonl")
    }
    assert names == {"copy.flac", "bell.flac"}


def test_stages_and_what_is_written(run: Run, sounds: Path, config: Path) -> None:
    result = run("curate", "run", config, "--output", "out")
    assert stages(result) == {
        "ingest": "4 records, 4 with a file; 0 rejects",
        "audio": "4 sound, 0 known to be, 0 dropped, 0 without a file",
        "licences": "4 accepted, 0 dropped",
        "music": "1 to review, 3 below the threshold, 0 decided before, 0 unusable",
        "search": "0 to review, 0 found before",
        "duplicates": "4 recordings: 1 exact copies dropped, 0 near copies to review, 0 unreadable",
        "review": "1 wait for a person in out/review",
        "prompts": "2 examples in out/prompts.txt",
        "set": "2 recordings, 0.00 h in out/set",
        "attributions": "2 recordings by 2 authors",
        "report": "out/report.html",
        "train": f"with data.path=sounds data.manifest={Path('out/set/manifest.jsonl').resolve()}",
    }
    assert list(stages(result))[:3] == ["ingest", "audio", "licences"]
    with Path("out/set/attributions.csv").open(newline="") as file:
        rows = {row["id"]: row["author"] for row in csv.DictReader(file)}
    assert rows == {"folder:bell.flac": "bob", "folder:copy.flac": "ann"}


@pytest.mark.slow
def test_a_second_run_decides_nothing_again(run: Run, sounds: Path, config: Path) -> None:
    run("curate", "run", config)
    kept = ("out/decisions.jsonl", "out/report.html", "out/prompts.txt", "out/set/manifest.jsonl")
    before = {name: Path(name).read_bytes() for name in kept}
    written = Path("out/set/manifest.jsonl").stat().st_mtime_ns
    again = stages(run("curate", "run", config))
    assert again["audio"] == "0 sound, 4 known to be, 0 dropped, 0 without a file"
    assert again["music"].startswith("0 to review, 0 below the threshold, 3 decided before")
    assert again["set"] == "2 recordings, 0.00 h in out/set, as before"
    assert {name: Path(name).read_bytes() for name in kept} == before
    assert Path("out/set/manifest.jsonl").stat().st_mtime_ns == written
    assert stages(run("curate", "run", config, "set.seed=1"))["set"].endswith("in out/set")


@pytest.mark.slow
def test_a_persons_answers_are_taken_over_once(run: Run, sounds: Path, config: Path) -> None:
    run("curate", "run", config)
    table = Path("out/review/review.csv")
    rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    assert [row["id"] for row in rows] == ["folder:long.wav"]
    table.write_text("id,verdict,note\nfolder:long.wav,keep,my own noise\n")
    filled = table.read_bytes()
    stays = stages(run("curate", "run", config))["review"]
    assert stays == "1 wait; out/review/review.csv is filled in and stays: name it in `answers`"
    answers = 'answers=[{"table": "out/review/review.csv", "by": "ann"}]'
    first = stages(run("curate", "run", config, answers))
    assert first["answers"] == "1 taken over, 0 known before"
    assert first["set"] == "3 recordings, 0.00 h in out/set"
    again = stages(run("curate", "run", config, answers))
    assert again["answers"] == "0 taken over, 1 known before"
    assert again["set"].endswith("as before")
    assert table.read_bytes() == filled
    assert len([d for d in read_decisions(Path("out")) if d.stage == "review"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("form", ["manifest", "shards"])
def test_the_set_trains(run: Run, sounds: Path, config: Path, two_steps: Path, form: str) -> None:
    """Two steps, with the options that the command prints."""
    line = run("curate", "run", config, f"set.form={form}").stdout.splitlines()[-1]
    overrides = line.removeprefix("train with ").split()
    result = run("train", "--config", two_steps, *overrides, "training.batch_size=2")
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1].startswith("last checkpoint: ")


def test_when_nothing_stands_the_report_tells_why(run: Run, sounds: Path, config: Path) -> None:
    for path in sounds.glob("*.json"):
        path.write_text('{"licence": "CC BY-NC 4.0", "author": "ann"}')
    result = run("curate", "run", config)
    assert result.returncode == 2
    assert result.stderr == "stable-audio-open: out: no recording stands (4 drop)\n"
    dropped = ParsedPage(Path("out/report.html")).rows_below["Dropped recordings"]
    assert ["licence: CC-BY-NC … forbids commercial use (NC)", "4"] in dropped
    assert not Path("out/set").exists()


@pytest.mark.parametrize(
    ("overrides", "code", "message"),
    [
        (["music.tagger.path=gone.pth"], 2, "gone.pth: "),
        (['sources=[{"type": "manifest", "path": "m.jsonl"}]'], 1, "m.jsonl: no such file"),
        (["audio=nowhere"], 1, "nowhere: no such file or folder"),
        (["scan.channels=2"], 2, 'curation.json: override "scan.channels=2": $.scan: unknown'),
    ],
)
def test_mistakes_before_anything_is_written(
    run: Run, sounds: Path, config: Path, overrides: list[str], code: int, message: str
) -> None:
    result = run("curate", "run", "curation.json", *overrides)
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith(f"stable-audio-open: {message}")
    assert result.stderr.count("\n") == 1
    assert not Path("out").exists()


@pytest.mark.slow
@needs_musicnn
def test_the_shipped_curation_on_other_recordings(run: Run, sounds: Path) -> None:
    """The configuration of the bundled model's set, with a manifest as its source."""
    lines = [
        {"file": name, "caption": name[:4], "author": "ann", "licence": "CC0", "family": "f"}
        for name in ("long.wav", "short.wav", "bell.flac")
    ]
    Path("m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    command = ["curate", "run", ROOT / "configs/curation/sonic_pi.json", "--output", "out"]
    done = stages(run(*command, "audio=sounds", "sources.0.path=m.jsonl"))
    assert done["music"] == "0 to review, 3 below the threshold, 0 decided before, 0 unusable"
    written = read_manifest(Path("sounds"), str(Path("out/set/manifest.jsonl").resolve()))
    assert [recording.family for recording in written] == ["f"] * len(written)
