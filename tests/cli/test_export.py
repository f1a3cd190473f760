from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from safetensors.torch import load_file

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


def test_half_precision(run: Run, tiny_model_folder: Path):
    result = run("export", tiny_model_folder, "--output", "half", "--dtype", "float16")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("half: 0.")
    before = load_file(tiny_model_folder / "model.safetensors")
    after = load_file("half/model.safetensors")
    assert set(before) == set(after)
    assert after["transformer.input_projection.weight"].dtype == torch.float16
    generated = run("generate", "kick", "--model", "half", "--steps", 1, "--output", "x.wav")
    assert generated.returncode == 0


def test_autoencoder(run: Run, tiny_autoencoder_folder: Path):
    assert run("export", tiny_autoencoder_folder, "--output", "copy").returncode == 0
    before = load_file(tiny_autoencoder_folder / "model.safetensors")
    after = load_file("copy/model.safetensors")
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    config = (tiny_autoencoder_folder / "config.json").read_bytes()
    assert Path("copy/config.json").read_bytes() == config


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("good.wav", "good.wav: is a file; give a folder, existing or new"),
        (
            "good.wav/model",
            "good.wav/model: the folder good.wav does not exist; create it or choose another one",
        ),
    ],
)
def test_folder_that_cannot_be_made(
    refuse: Refuse, recordings: Path, tiny_model_folder: Path, output: str, message: str
):
    refuse("export", tiny_model_folder, "--output", output, code=1, message=message)


def test_unknown_dtype(run: Run, tiny_model_folder: Path):
    result = run("export", tiny_model_folder, "--output", "x", "--dtype", "int8")
    assert result.returncode == 2
    assert result.stderr.startswith("stable-audio-open: Invalid value for '--dtype'")
    assert result.stderr.count("\n") == 1


def test_to_stable_audio_tools(run: Run, tiny_model_folder: Path):
    result = run("export", tiny_model_folder, "--to", "stable-audio-tools", "--output", "other")
    assert (result.returncode, result.stderr) == (0, "")
    assert sorted(p.name for p in Path("other").iterdir()) == [
        "model.safetensors",
        "model_config.json",
    ]
    again = run(
        "export", "other", "--output", "back", "--text-encoder", tiny_model_folder / "text_encoder"
    )
    assert again.returncode == 0, again.stderr
    before, after = (
        load_file(folder / "model.safetensors") for folder in (tiny_model_folder, Path("back"))
    )
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_what_the_other_layout_lacks(refuse: Refuse, tiny_model_folder: Path):
    refuse(
        "export",
        tiny_model_folder,
        "--to",
        "diffusers",
        "--output",
        "other",
        code=2,
        message="small: $.autoencoder.encoder.channels: found 4; allowed in diffusers: 16",
    )
