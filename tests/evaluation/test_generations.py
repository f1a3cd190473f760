import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import soundfile
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.evaluation.generations.prompted import (
    PromptedSettings,
    PromptedSound,
    make_generations,
    make_reconstructions,
    wanted_sound,
)

SETTINGS = PromptedSettings(
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


@pytest.mark.parametrize("change", [{"prompt": "bell"}, {"seconds": 0.02}, {"seed": 1}])
def test_what_was_made_of_something_else_is_made_anew(
    change: dict[str, object], tmp_path: Path
) -> None:
    """And what one that was interrupted right after it began would have been mistaken for."""
    folder, noise = tmp_path / "sounds", Noise()
    make_generations(WANTED, folder, generate=noise, settings=SETTINGS)
    before = content(folder)
    changed = [msgspec.structs.replace(sound, **change) for sound in WANTED[:3]] + WANTED[3:]

    def stops(prompts: Sequence[str], seeds: Sequence[int], seconds: float) -> Audio:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_generations(changed, folder, generate=stops, settings=SETTINGS)
    assert not (folder / WANTED[0].file).exists()
    noise.asked.clear()
    make_generations(changed, folder, generate=noise, settings=SETTINGS)
    assert noise.asked == [sound.prompt for sound in changed[:3]]
    assert soundfile.info(folder / WANTED[0].file).duration == changed[0].seconds
    make_generations(WANTED, folder, generate=noise, settings=SETTINGS)
    assert content(folder) == before


def test_sounds_that_are_not_wanted_now_are_known_later(tmp_path: Path) -> None:
    noise = Noise()
    for wanted in (WANTED, WANTED[3:], WANTED):
        make_generations(wanted, tmp_path, generate=noise, settings=SETTINGS)
        lines = (tmp_path / "generations.jsonl").read_bytes().splitlines()
        found = [msgspec.json.decode(line, type=PromptedSound) for line in lines]
        assert found[: len(wanted)] == wanted
        assert sorted(sound.file for sound in found) == sorted(sound.file for sound in WANTED)
    assert len(noise.asked) == 6
    (tmp_path / "generations.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match=r"generations\.jsonl:1: not a sound \(.*delete the file"):
        make_generations(WANTED, tmp_path, generate=noise, settings=SETTINGS)


@pytest.mark.parametrize("left", [0.0, 0.3, 0.95])
def test_a_sound_that_was_cut_off_is_made_again(
    left: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = Noise()
    make_generations(WANTED, tmp_path, generate=noise, settings=SETTINGS)
    before, path = content(tmp_path), tmp_path / WANTED[4].file
    path.write_bytes(before[path.name][: int(left * len(before[path.name]))])
    noise.asked.clear()
    make_generations(WANTED, tmp_path, generate=noise, settings=SETTINGS, batch=1)
    assert noise.asked == ["snare"]
    assert content(tmp_path) == before
    assert f"made again: {path}: the file is " in caplog.text


def test_another_recording_of_the_same_name_is_reconstructed_anew(tmp_path: Path) -> None:
    asked = []

    def reconstruct(path: Path) -> Audio:
        asked.append(path.name)
        return Audio(torch.full((1, 1, 80), len(asked) / 8), 8000)

    def made(*hashes: str) -> list[float]:
        sounds = make_reconstructions(
            dict(zip(("a.wav", "b.wav"), hashes, strict=True)),
            tmp_path,
            tmp_path / "out",
            reconstruct=reconstruct,
        )
        return [soundfile.read(tmp_path / "out" / s.file)[0][0] * 8 for s in sounds]

    assert made("1", "1") == [1, 2]
    assert made("2", "1") == [3, 2]
    assert asked == ["a.wav", "b.wav", "a.wav"]


def test_sounds_of_other_settings_are_not_mixed(tmp_path: Path) -> None:
    other = PromptedSettings(
        model="tiny", prompts="caption", seed=3, steps=50, guidance=7.0, duration=None
    )
    noise, none = Noise(), list[PromptedSound]()
    make_generations(none, tmp_path / "sounds", generate=noise, settings=SETTINGS)
    with pytest.raises(ValueError, match=r"sounds: was begun with steps 2, got 50; choose another"):
        make_generations(WANTED, tmp_path / "sounds", generate=noise, settings=other)
    (tmp_path / "sounds" / "settings.json").write_text("{}")
    with pytest.raises(ValueError, match=r"settings\.json: Object missing required field"):
        make_generations(WANTED, tmp_path / "sounds", generate=noise, settings=other)
    with pytest.raises(ValueError, match="prompts are 'tags'; allowed: caption, metadata"):
        PromptedSettings(model="tiny", prompts="tags", seed=0, steps=1, guidance=1.0)


def test_a_folder_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """Version 0.1.0 wrote these files, to the letter; names of sounds hold part of a hash."""
    settings = (
        '{\n  "model": "tiny",\n  "lora": [],\n  "weights": null,\n  "prompts": "caption",\n'
        '  "seed": 3,\n  "steps": 2,\n  "guidance": 7.0,\n  "duration": null\n}\n'
    )
    line = (
        '{"file":"kick_0_86ef3b90.flac","prompt":"kick","seed":2076874700,"seconds":0.01,'
        '"recording":"audio/kick.wav"}\n'
    )
    (tmp_path / "settings.json").write_text(settings)
    (tmp_path / "generations.jsonl").write_text(line)
    (tmp_path / "kick_0_86ef3b90.flac").write_bytes(flac())
    noise = Noise()
    make_generations(WANTED[:1], tmp_path, generate=noise, settings=SETTINGS)
    assert noise.asked == []
    assert (tmp_path / "settings.json").read_text() == settings
    assert (tmp_path / "generations.jsonl").read_text() == line


def flac() -> bytes:
    """A sound that is there."""
    buffer = io.BytesIO()
    soundfile.write(buffer, torch.zeros(80, 2).numpy(), 8000, format="FLAC")
    return buffer.getvalue()
