import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.evaluation.generations import (
    GenerationSettings,
    Wanted,
    make_generations,
    wanted_sound,
)

SETTINGS = GenerationSettings(
    model="tiny", prompts="caption", seed=3, steps=2, guidance=7.0, duration=None
)
WANTED = [
    wanted_sound(f"audio/{name}.wav", copy, prompt=name, seconds=0.01, settings=SETTINGS)
    for name in ("kick", "snare")
    for copy in range(3)
]


class Noise:
    """Noise that depends on seed and length, and a list of what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], seconds: float) -> Audio:
        self.asked += prompts
        items = [
            torch.rand(2, round(seconds * 8000), generator=torch.Generator().manual_seed(seed))
            for seed in seeds
        ]
        return Audio(torch.stack(items) - 0.5, 8000, tuple(seeds))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_seed_depends_on_seed_recording_and_number_alone() -> None:
    assert len({sound.seed for sound in WANTED}) == len({sound.file for sound in WANTED}) == 6
    other = wanted_sound("audio/kick.wav", 0, prompt="x", seconds=9, settings=SETTINGS)
    assert (other.seed, other.file) == (WANTED[0].seed, WANTED[0].file)


def test_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole, stopped = Noise(), Noise()
    make_generations(WANTED, tmp_path / "whole", generate=whole, settings=SETTINGS, batch=2)
    assert whole.asked == ["kick"] * 3 + ["snare"] * 3
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    for missing in (1, 5):
        (tmp_path / "stopped" / WANTED[missing].file).unlink()
    make_generations(WANTED, tmp_path / "stopped", generate=stopped, settings=SETTINGS, batch=2)
    assert stopped.asked == ["kick", "kick", "snare"]
    assert content(tmp_path / "stopped") == content(tmp_path / "whole")
    assert set(content(tmp_path / "whole")) == {
        "settings.json",
        "generations.jsonl",
        *(sound.file for sound in WANTED),
    }


def test_sounds_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    other = GenerationSettings(
        model="tiny", prompts="caption", seed=3, steps=50, guidance=7.0, duration=None
    )
    noise, none = Noise(), list[Wanted]()
    make_generations(none, tmp_path / "sounds", generate=noise, settings=SETTINGS)
    with pytest.raises(ValueError, match=r"sounds: was begun with steps 2, got 50; choose another"):
        make_generations(WANTED, tmp_path / "sounds", generate=noise, settings=other)
    (tmp_path / "sounds" / "settings.json").write_text("{}")
    with pytest.raises(ValueError, match=r"settings\.json: Object missing required field"):
        make_generations(WANTED, tmp_path / "sounds", generate=noise, settings=other)
    with pytest.raises(ValueError, match="prompts are 'tags'; allowed: caption, metadata"):
        GenerationSettings(model="tiny", prompts="tags", seed=0, steps=1, guidance=1.0)
