import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import soundfile
import torch

from stable_audio_open.audio.files import read_audio
from stable_audio_open.pretrained import load

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


@pytest.mark.parametrize("name", ["good.wav", "mono_8k.wav", "silent.wav"])
def test_original_length_at_the_models_rate(
    run: Run, recordings: Path, tiny_model_folder: Path, name: str
):
    result = run("reconstruct", name, "--model", tiny_model_folder, "--output", "x.flac")
    assert (result.returncode, result.stderr) == (0, "")
    assert re.fullmatch(
        r"x\.flac: 1\.00 s, (sound ends at [\d.]+ s|silent), through 500 latents of 8 channels\n",
        result.stdout,
    )
    info = soundfile.info("x.flac")
    assert (info.frames, info.samplerate, info.channels) == (16000, 16000, 2)


def test_samples_are_the_autoencoders(run: Run, recordings: Path, tiny_autoencoder_folder: Path):
    arguments = ["--model", tiny_autoencoder_folder, "--output", "x.wav", "--subtype", "float"]
    run("reconstruct", "good.wav", *arguments)
    autoencoder = load(tiny_autoencoder_folder, device="cpu")
    with torch.inference_mode():
        expected = autoencoder.decode(autoencoder.encode(read_audio("good.wav").samples))
    torch.testing.assert_close(read_audio("x.wav").samples, expected)


def test_folder_gets_a_file_of_the_same_name(run: Run, recordings: Path, tiny_model_folder: Path):
    run("reconstruct", "good.wav", "--model", tiny_model_folder, "--output", "through")
    assert [path.name for path in Path("through").iterdir()] == ["good.wav"]


@pytest.mark.parametrize("output", ["good.wav", "."])
def test_recording_is_not_overwritten(
    refuse: Refuse, recordings: Path, tiny_model_folder: Path, output: str
):
    refuse(
        *("reconstruct", "good.wav", "--model", tiny_model_folder, "--output", output),
        code=2,
        message="good.wav: is the recording itself; choose another output",
    )


def test_damaged_recording(refuse: Refuse, tiny_model_folder: Path, damaged: tuple[str, str]):
    name, message = damaged
    refuse(
        *("reconstruct", name, "--model", tiny_model_folder, "--output", "x.wav"),
        code=1,
        message=message,
    )


def test_weights_that_give_nan(
    run: Run, recordings: Path, tiny_model_folder: Path, monkeypatch: pytest.MonkeyPatch
):
    def broken(*arguments: object, **settings: object) -> object:
        model = load(tiny_model_folder, device="cpu")
        with torch.no_grad():
            model.autoencoder.decoder.input.bias.fill_(torch.nan)
        return model

    monkeypatch.setattr("stable_audio_open.pretrained.load", broken)
    result = run("reconstruct", "good.wav", "--output", "x.wav")
    assert (result.returncode, result.stderr) == (
        1,
        "stable-audio-open: the autoencoder gave NaN or infinite samples in torch.float32; use "
        "float32, or check the checkpoint\n",
    )
    assert not Path("x.wav").exists()
