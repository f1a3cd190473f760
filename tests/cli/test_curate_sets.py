import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import pytest

from stable_audio_open.curation.catalogue.parquet import write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.data.manifest import read_manifest

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


@pytest.fixture
def catalogue(recordings: Path) -> Path:
    """Two good recordings and one that is cut off; the first has no author."""
    records = [
        CatalogueRecord(
            id="folder:good.wav", file="good.wav", title="Noise", licence="CC0", tags=("hiss",)
        ),
        CatalogueRecord(id="folder:8k", file="mono_8k.wav", licence="CC0", author="ann"),
        CatalogueRecord(id="folder:cut", file="cut.wav", licence="CC0", author="ann"),
    ]
    write_catalogue(Path("catalogue"), records)
    return Path("catalogue")


@pytest.fixture
def empty_folder(run: Run) -> None:
    """`run` has gone to an empty folder."""


@pytest.mark.usefixtures("empty_folder")
def test_a_manifest_that_training_reads(run: Run, catalogue: Path):
    result = run(
        "curate", "build", catalogue, "--audio", ".", "--output", "set", "--form", "manifest",
        "--allow-unlicensed", "--chunks",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "recording left out: cut.wav: the file is truncated" in result.stderr
    start, _, manifest = result.stdout.strip().partition("data.manifest=")
    assert start == "set: 2 recordings, 0.00 h; train with data.path=. "
    found = read_manifest(Path(), manifest)
    assert [(r.file, r.caption, r.source) for r in found] == [
        ("good.wav", "Noise", "folder:good.wav"),
        ("mono_8k.wav", "mono 8k", "folder:8k"),
    ]
    assert Path("set/chunks.jsonl").read_text().count("\n") == 2


@pytest.fixture
def shards(run: Run, catalogue: Path) -> list[str]:
    """Two shards of a recording each, and how to train on them."""
    result = run(
        "curate", "build", catalogue, "--audio", ".", "-o", "set", "--form", "shards",
        "--allow-unlicensed", "--recordings-per-shard", 1,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    start, _, words = result.stdout.partition("; train with ")
    assert start == "set: 2 recordings, 0.00 h"
    for name in ("good.wav", "mono_8k.wav"):
        Path(name).unlink()  # the set needs them no more
    return words.split()


@pytest.fixture
def encode_shards(run: Run, one_step: dict[str, Any]) -> Run:
    """Run `encode` with some words."""
    Path("run.json").write_bytes(msgspec.json.encode(one_step))
    return lambda *words: run("encode", "--config", "run.json", *words)


def test_shards_are_encoded_with_the_words_that_are_printed(shards: list[str], encode_shards: Run):
    result = encode_shards("-o", "latents", *shards)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("latents: 2 recordings in 1 shards")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "is missing; copy the set again, or build it again with"),
        (lambda tar: tar.write_bytes(tar.read_bytes()[:9000]), "holds 9000 bytes instead of "),
        (
            lambda tar: tar.write_bytes(b"x" * tar.stat().st_size),
            "not an uncompressed tar (",
        ),
    ],
)
def test_damaged_shards(
    shards: list[str], encode_shards: Run, damage: Callable[[Path], object], message: str
):
    tar = Path("set/shard-000001.tar")
    damage(tar)
    result = encode_shards("-o", "latents", *shards)
    assert result.returncode == 2
    assert result.stderr.startswith(f"stable-audio-open: {tar}: {message}")
    assert result.stderr.count("\n") == 1
    assert not Path("latents").exists()


def test_wrong_words_for_shards(shards: list[str], encode_shards: Run):
    path, _ = shards
    for words, message in (
        ((path,), "set/manifest.jsonl: is not there, but the index.json of a set in shards is; set "
        "manifest=index.json"),
        ((*shards, "-o", "set"), "set: holds recordings in shards, which those of latents would "
        "replace; give another folder as --output"),
    ):  # fmt: skip
        result = encode_shards("-o", "latents", *words)
        assert (result.returncode, result.stderr) == (2, f"stable-audio-open: {message}\n")


@pytest.mark.usefixtures("empty_folder")
def test_mistakes(refuse: Refuse, catalogue: Path):
    build = ("curate", "build", catalogue, "--audio", ".", "--form", "manifest", "-o")
    refuse(
        *build, "set", code=2,
        message="1 recordings have no accepted licence or no author (folder:good.wav: no author is "
        "given who could be named); drop them with `stable-audio-open curate licences`, or pass "
        "--allow-unlicensed",
    )  # fmt: skip
    message = "catalogue: is not an empty folder; give another, or empty it"
    refuse(*build, "catalogue", code=2, message=message)
    refuse(
        "curate", "report", "gone", code=2,
        message="gone: holds no catalogue (no records/part-*.parquet); make one with "
        "`stable-audio-open curate ingest`",
    )  # fmt: skip


@pytest.mark.usefixtures("empty_folder")
def test_prompts_are_shown(run: Run, catalogue: Path, refuse: Refuse):
    result = run("curate", "prompts", catalogue, "--show", 5)
    (line,) = result.stdout.splitlines()
    name, _, prompt = line.partition("\t")
    assert name == "folder:good.wav"
    assert set(prompt.lower().split(", ")) <= {"noise", "hiss"}
    epochs = {run("curate", "prompts", catalogue, "--epoch", n).stdout for n in range(12)}
    assert len(epochs) > 3
    assert run("curate", "prompts", catalogue, "--show", 5).stdout == result.stdout
    write_catalogue(Path("bare"), [CatalogueRecord(id="x:1")])
    message = "bare: no record has metadata to draw a prompt from"
    refuse("curate", "prompts", "bare", code=2, message=message)


@pytest.mark.usefixtures("empty_folder")
def test_the_report(run: Run, catalogue: Path):
    result = run("curate", "report", catalogue)
    assert result.stdout == "catalogue/report.html: 3 recordings\n"
    page = Path("catalogue/report.html").read_text("utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert re.search(r"<h1>catalogue</h1>\s*<p>3 recordings", page)
    assert run("curate", "report", catalogue, "-o", "page.html").returncode == 0
    assert Path("page.html").read_text("utf-8") == page
