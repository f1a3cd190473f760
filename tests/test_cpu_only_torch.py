"""What PyTorch built for CPUs alone lacks: packages of CUDA, and those that are built beside it."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys

BLOCKED = ("torchaudio", "torchvision", "triton", "nvidia", "flash_attn", "torchcodec")
# As if they were not installed: they are not found, and cannot be imported.
sys.modules.update(dict.fromkeys(BLOCKED))
from stable_audio_open.cli.main import main

kick = ["--duration", "0.5", "--steps", "1", "--device", "cpu", "--output"]
assert main(["generate", "kick", *kick, "kick.wav"]) == 0
assert main(["generate", "loop", "--loop", *kick, "loop.flac"]) == 0
span = ["--span", "0.1", "0.2", "--steps", "1", "--output", "x.wav"]
assert main(["inpaint", "kick.wav", "kick", *span]) == 0
assert main(["reconstruct", "kick.wav", "--output", "again.wav"]) == 0
assert all(sys.modules[name] is None for name in BLOCKED)
"""


@pytest.mark.slow
def test_sounds_are_made_without_what_belongs_to_other_builds(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert sorted(path.name for path in tmp_path.glob("*.*")) == [
        "again.wav",
        "kick.wav",
        "loop.flac",
        "x.wav",
    ]
