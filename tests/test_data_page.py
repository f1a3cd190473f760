"""The page on data, as printed, on recordings that are here and a server of our own."""

import io
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stable_audio_open.cli.main import main
from tests.freesound_server import COUNT, KEY, served
from tests.needs import needs_musicnn
from tests.printed import DATA_PAGE, ROOT, blocks, run_commands, words
from tests.tones import RATE, save_tones


def noise(seed: int) -> bytes:
    """Return an MP3 file of six seconds."""
    file = io.BytesIO()
    samples = 0.1 * np.random.default_rng(seed).standard_normal((6 * RATE, 2))
    soundfile.write(file, samples, RATE, format="MP3")
    return file.getvalue()


@pytest.mark.slow
@needs_musicnn
def test_data(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    loudness_panns: Path,
) -> None:
    workplace, package = tmp_path / "checkout", tmp_path / "package"
    for folder in (workplace, package):
        folder.mkdir()
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("FREESOUND_API_KEY", KEY)
    for name in ("configs", "scripts"):
        Path(name).symlink_to(ROOT / name)
    Path("Cnn14_DecisionLevelMax_mAP=0.385.pth").symlink_to(loudness_panns)
    Path("class_labels_indices.csv").symlink_to(
        loudness_panns.with_name("class_labels_indices.csv")
    )
    source = ["--source", str(save_tones(package))]
    commands = [command for block in blocks(DATA_PAGE) for command in run_commands(block)]
    with served() as server:
        for number in range(1, COUNT + 1):
            server.replies[f"/previews/{number}.mp3"] = (200, {}, noise(number))
        for command in commands:
            if command.startswith("python "):
                python = [sys.executable, *shlex.split(command)[1:], *source]
                subprocess.run(python, check=True, capture_output=True)
                continue
            here = ["--server", server.url] if " fetch " in command else []
            assert main([*words(command), *here]) == 0, (command, capsys.readouterr().err)
    assert Path("data/sonic_pi_curated/report.html").is_file()
    assert list(Path("set").glob("shard-*.tar"))
    assert Path("set/ATTRIBUTIONS.md").is_file()
    shown = capsys.readouterr().out
    stages = [line.split()[0] for line in blocks(DATA_PAGE, "")[0].text.splitlines()]
    assert all(f"\n{stage} " in f"\n{shown}" for stage in stages)
