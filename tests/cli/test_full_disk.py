"""Full disks and folders that nothing can be written to: the line names the path."""

import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import pytest

from stable_audio_open.curation.catalogue.parquet import write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from tests.full_disk import full_disk

Run = Callable[..., CompletedProcess[str]]
LIMITS = (0, *(4**n for n in range(2, 12)))
"""Bytes of the longest file; some write fails at each of the smaller ones."""
UNWRITABLE = Path("/sys/stable-audio-open")
"""Where nobody can write, the superuser included."""

needs_sys = pytest.mark.skipif(not UNWRITABLE.parent.is_dir(), reason="needs Linux's /sys")


@pytest.fixture
def commands(
    run: Run,
    recordings: Path,
    wide_model_folder: Path,
    one_step: dict[str, Any],
) -> dict[str, list[str]]:
    """Commands that write to a folder that is to be added."""
    lines = [
        msgspec.json.encode({"file": "good.wav", "caption": "noise " * 99}) + b"\n",
        b'{"file": "mono_8k.wav", "caption": 3}\n',
    ]
    Path("listed.jsonl").write_bytes(b"".join(lines))
    Path("manifest.jsonl").write_bytes(lines[0])
    about = {"licence": "CC0", "author": "ann", "description": "noise " * 99}
    write_catalogue(
        Path("catalogue"), [CatalogueRecord(id="folder:good.wav", file="good.wav", **about)]
    )
    Path("run.json").write_bytes(msgspec.json.encode(one_step))
    build = ["curate", "build", "catalogue", "--audio", ".", "--form"]
    export = ["export", str(wide_model_folder)]
    return {
        "export": export,
        "export to stable-audio-tools": [*export, "--to", "stable-audio-tools"],
        "encode": ["encode", "--config", "run.json"],
        "build a manifest": [*build, "manifest", "--chunks"],
        "build shards": [*build, "shards"],
        "ingest": ["curate", "ingest", "manifest", "listed.jsonl", "--audio", "."],
    }


NAMES = (
    "export",
    "export to stable-audio-tools",
    "encode",
    "build a manifest",
    "build shards",
    "ingest",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_full_disk_is_told_with_the_path(
    name: str, commands: dict[str, list[str]], run: Run
) -> None:
    failed = 0
    for limit in LIMITS:
        output = Path(f"out_{limit}")
        with full_disk(limit):
            result = run(*commands[name], "--output", output)
        if result.returncode == 0:
            break
        failed += 1
        *warned, line = result.stderr.splitlines()
        assert line.startswith(f"stable-audio-open: {output}"), result.stderr
        assert line.endswith(": File too large")
        assert all(told.startswith(("WARNING: ", "INFO: ")) for told in warned)
        # The same command goes on, or starts anew, where there is room.
        if name.startswith("build"):
            shutil.rmtree(output)
        again = run(*commands[name], "--output", output)
        assert again.returncode == 0, again.stderr
        assert not list(output.rglob(".*"))
    assert failed >= 3
    assert result.returncode == 0, result.stderr


@needs_sys
@pytest.mark.parametrize("name", NAMES)
def test_a_folder_that_cannot_be_written_is_named(
    name: str, commands: dict[str, list[str]], run: Run
) -> None:
    result = run(*commands[name], "--output", UNWRITABLE)
    assert result.returncode == 1
    line = result.stderr.splitlines()[-1]
    assert line.startswith("stable-audio-open: /sys"), result.stderr
    assert "unexpected" not in line


@needs_sys
@pytest.mark.usefixtures("recordings")
def test_a_run_that_cannot_be_written_is_named(run: Run, two_steps: Path) -> None:
    Path("manifest.jsonl").write_text('{"file": "good.wav", "caption": "noise"}\n')
    result = run("train", "--config", two_steps, f"training.trainer.output={UNWRITABLE}")
    assert result.returncode == 1
    assert result.stderr.startswith(f"stable-audio-open: {UNWRITABLE}"), result.stderr
