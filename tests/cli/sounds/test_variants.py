"""Which of several weights a command takes: variants of a folder, versions of a hub name."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import soundfile

from stable_audio_open.pretrained import StableAudio, load

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]
SHORT = ("--duration", 0.1, "--steps", 1, "--seed", 0)


@pytest.fixture
def model_folder(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> Path:
    """A folder with the variant fp16 alone."""
    folder = tmp_path_factory.mktemp("models") / "half"
    StableAudio.from_pretrained(tiny_model_folder, device="cpu").save_pretrained(
        folder, variant="fp16"
    )
    return folder


def test_a_variant_makes_the_sound(run: Run, tmp_path: Path, model_folder: Path) -> None:
    asked = ("--model", model_folder, "--variant", "fp16")
    result = run("generate", "kick", *asked, *SHORT, "--output", "x.wav")
    assert result.returncode == 0, result.stderr
    system = StableAudio.from_pretrained(model_folder, device="cpu", variant="fp16")
    expected = system.generate("kick", duration=0.1, steps=1, seed=0, progress=False)
    expected.save(tmp_path / "expected.wav")
    found, _ = soundfile.read(tmp_path / "x.wav")
    assert found == pytest.approx(soundfile.read(tmp_path / "expected.wav")[0], abs=1e-6)
    result = run("regenerate", "x.wav", "--output", "again.wav")
    assert result.returncode == 0, result.stderr
    assert soundfile.read(tmp_path / "again.wav")[0].tobytes() == found.tobytes()
    result = run("reconstruct", "x.wav", *asked, "--output", "y.wav")
    assert result.returncode == 0, result.stderr


def test_a_table_takes_a_variant(run: Run, tmp_path: Path, model_folder: Path) -> None:
    (tmp_path / "table.jsonl").write_text(json.dumps({"prompt": "kick"}) + "\n")
    asked = ("--jobs", "table.jsonl", "--model", model_folder, "--variant", "fp16")
    result = run("generate", *asked, *SHORT, "--output", "sounds")
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "sounds").glob("*.wav"))) == 1


@pytest.mark.parametrize("command", ["generate kick", "reconstruct x.wav"])
def test_one_that_is_missing_is_told(
    run: Run, tmp_path: Path, model_folder: Path, tiny_model_folder: Path, command: str
) -> None:
    soundfile.write(tmp_path / "x.wav", [[0.0, 0.1]] * 4000, 16000)
    words = (*command.split(), "--output", "y.wav")
    result = run(*words, "--model", model_folder, "--variant", "fp")
    assert result.returncode == 1
    assert f"{model_folder}: there is no variant 'fp'; it has fp16" in result.stderr
    assert result.stderr.count("\n") == 1
    result = run(*words, "--model", tiny_model_folder, "--variant", "fp16")
    assert f"{tiny_model_folder}: there is no variant 'fp16'; it has none" in result.stderr


def test_versions_are_of_hub_names(refuse: Refuse, tiny_model_folder: Path) -> None:
    with pytest.raises(ValueError, match="revision") as caught:
        load(tiny_model_folder, device="cpu", revision="v2")
    words = ("generate", "kick", *SHORT, "--output", "x.wav")
    asked = ("--model", tiny_model_folder, "--revision", "v2")
    refuse(*words, *asked, code=2, message=str(caught.value))
