from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import pytest

from stable_audio_open.config.data import ShardsConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.files.lock import locked_folder

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


@pytest.fixture
def config(recordings: Path, one_step: dict[str, Any]) -> Path:
    """A diffusion training on two good recordings and one that is cut off."""
    names = ("good", "mono_8k", "cut")
    lines = [f'{{"file": "{name}.wav", "caption": "noise"}}\n' for name in names]
    Path("manifest.jsonl").write_text("".join(lines))
    one_step["data"] = {"type": "folder", "path": ".", "most_unusable": 0.4}
    path = Path("run.json")
    path.write_bytes(msgspec.json.encode(one_step))
    return path


@pytest.fixture
def empty_folder(run: Run) -> None:
    """`run` has gone to an empty folder."""


@pytest.mark.usefixtures("empty_folder")
def test_what_it_says_and_writes(run: Run, config: Path):
    arguments = ("encode", "--config", config, "--output", "out/shards")
    result = run(*arguments, "--recordings-per-shard", 1)
    assert result.returncode == 0, result.stderr
    start, _, data = result.stdout.partition("; train with ")
    assert start == "out/shards: 2 recordings in 3 shards, 0.1 MB"
    changed = read_config(config, [data.strip().strip("'")])
    assert changed.data == ShardsConfig(path="out/shards")
    assert "recording left out: cut.wav: the file is truncated" in result.stderr
    assert "shard 1 of 3 written" in result.stderr
    report = Path("out/shards/unusable_recordings.csv").read_text()
    assert report.startswith("file,reason\ncut.wav,cut.wav: the file is truncated")

    again = run(*arguments, "--recordings-per-shard", 1, "--verify")
    assert (again.returncode, again.stdout) == (0, result.stdout)
    assert "written" not in again.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("empty_folder")
def test_damage_is_found_and_repaired(run: Run, config: Path):
    arguments = ("encode", "--config", config, "--output", "shards", "--verify")
    assert run(*arguments).returncode == 0
    tar = Path("shards/shard-000000.tar")
    tar.write_bytes(tar.read_bytes()[:-1] + b"x")
    result = run(*arguments)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(
        "stable-audio-open: shards/shard-000000.tar: its contents are not those that were written; "
        "delete it and run"
    )
    tar.unlink()
    assert run(*arguments).returncode == 0


@pytest.mark.usefixtures("empty_folder")
def test_mistakes(run: Run, config: Path):
    def line(*arguments: object, code: int = 2) -> str:
        result = run("encode", "--config", config, "--output", "shards", *arguments)
        assert (result.returncode, result.stdout) == (code, "")
        assert "Traceback" not in result.stderr
        return result.stderr.splitlines()[-1].removeprefix("stable-audio-open: ")

    assert line("data.pth=x").startswith('run.json: override "data.pth=x": $.data: unknown field')
    assert line("data=null").startswith("small: `data` is missing; encoding needs this section")
    assert line("--recordings-per-shard", 0).startswith("Invalid value for '--recordings-per-shar")
    assert line('data={"type": "shards", "path": "x"}').startswith("small: $.data.type: found")
    assert line("data.most_unusable=0", code=1).startswith("1 of 3 recordings cannot be used")
    Path("file").write_text("")
    assert run("encode", "--config", config, "--output", "file").returncode == 1


def test_two_into_one_folder(run: Run, config: Path, tmp_path: Path):
    output = tmp_path / "shards"
    with locked_folder(output, remedy="wait"):
        result = run("encode", "--config", str(config), "-o", str(output))
    assert result.returncode == 2
    assert result.stderr.strip().endswith(
        f"{output}: another process works in this folder; wait until it ends, or give another "
        "folder as --output"
    )
    assert not output.exists()


def test_missing_options(refuse: Refuse):
    refuse(
        "encode",
        "--config",
        "run.json",
        code=2,
        message="Missing option '--output' / '-o'; see stable-audio-open encode --help",
    )
