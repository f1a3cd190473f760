"""The pages on making sounds, block by block, as printed, in few steps."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from stable_audio_open.audio.files import audio_info
from stable_audio_open.cli.main import main
from tests.printed import ROOT, SOUND_PAGES, blocks, run_commands, words

STEPPED = ("generate", "interpolate", "inpaint", "extend")


def run_page(page: str, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], str]:
    """Run code, commands and what they read; return the names of the code, and what was shown."""
    names: dict[str, Any] = {}
    for block in blocks(page):
        if block.language == "python":
            exec(re.sub(r"steps=[25]0", "steps=3", block.text), names)
        elif block.title:
            Path(block.title).write_text(block.text)
        for command in run_commands(block):
            arguments = words(command)
            fewer = ["--steps", "3"] if arguments[0] in STEPPED else []
            assert main([*arguments, *fewer]) == 0, (command, capsys.readouterr().err)
    return names, capsys.readouterr().out


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    return tmp_path


def seconds(path: Path) -> float:
    return audio_info(path).duration


@pytest.mark.slow
def test_generating(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names, shown = run_page("docs/generate.md", capsys)
    assert [seconds(folder / name) for name in ("kick.wav", "tabla.wav")] == [2.0, 2.0]
    assert [seconds(folder / name) for name in ("long.flac", "loop.wav")] == [8.0, 2.0]
    made = {"sounds": 2, "snares": 4, "drums": 2, "many": 2, "cowbells": 1}
    found = {
        name: [*(folder / name).glob("*.wav"), *(folder / name).glob("*.flac")] for name in made
    }
    assert {name: len(files) for name, files in found.items()} == made
    assert [names[name].duration for name in ("long", "loop")] == [8.0, 2.0]
    waveform = names["waveform"]
    assert isinstance(waveform, torch.Tensor)
    assert waveform.shape[:2] == (1, 2)
    assert "kick_again.wav: 2.00 s, the same samples as kick.wav" in shown
    assert "1,056,939,152" in shown


@pytest.mark.slow
def test_editing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names, _ = run_page("docs/edit.md", capsys)
    assert [seconds(folder / name) for name in ("again.flac", "pad.flac")] == [2.0, 2.5]
    assert seconds(folder / "longer.wav") == 2.9
    assert [names[name].duration for name in ("varied", "made", "longer")] == [2.0, 2.0, 2.9]
    assert len(list((folder / "way").glob("*.wav"))) == len(names["way"].samples) == 4


@pytest.mark.slow
def test_looking_for_faults(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, shown = run_page("docs/troubleshooting.md", capsys)
    assert shown.endswith("all works\n")


def test_these_are_all_pages() -> None:
    source = Path(__file__).read_text("utf-8")
    assert set(SOUND_PAGES) == set(re.findall(r'run_page\("(.*?)"', source))
