from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from safetensors.torch import load_file, save_file

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


@pytest.mark.slow
def test_to_stable_audio_tools(run: Run, wide_model_folder: Path):
    result = run("export", wide_model_folder, "--to", "stable-audio-tools", "--output", "other")
    assert result.returncode == 0
    assert result.stderr.startswith(
        "WARNING: other: stable-audio-tools will not load this model, whose text encoder "
        "(t5_model_name) is 'text_encoder'; it knows t5-small, "
    )
    assert result.stderr.count("\n") == 1
    assert sorted(p.name for p in Path("other").iterdir()) == [
        "model.safetensors",
        "model_config.json",
        "text_encoder",
        "tokenizer",
    ]
    again = run("export", "other", "--output", "back")
    assert again.returncode == 0, again.stderr
    before, after = (
        load_file(folder / "model.safetensors") for folder in (wide_model_folder, Path("back"))
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


def test_no_adapter_in_a_folder(refuse: Refuse, tiny_model_folder: Path) -> None:
    refuse(
        *("export", tiny_model_folder, "--to", "lora", "--output", "adapter"),
        code=1,
        message=f"{tiny_model_folder}: is a folder; give the checkpoint of a run with "
        "training.lora, such as runs/NAME/checkpoints/last.ckpt",
    )


def test_decoder_of_a_second_phase(
    run: Run, refuse: Refuse, tiny_model_folder: Path, tiny_autoencoder_folder: Path
) -> None:
    """The tiny model's own autoencoder, with a decoder that was trained on."""
    tensors = load_file(tiny_model_folder / "model.safetensors")
    trained = {
        name.removeprefix("autoencoder."): tensor
        for name, tensor in tensors.items()
        if name.startswith("autoencoder.")
    }
    for name in trained:
        if name.startswith("decoder."):
            trained[name] = trained[name] + 0.25
    Path("second").mkdir()
    config = (tiny_autoencoder_folder / "config.json").read_bytes()
    Path("second/config.json").write_bytes(config)
    save_file(trained, "second/model.safetensors")
    result = run("export", tiny_model_folder, "--decoder", "second", "--output", "both")
    assert (result.returncode, result.stderr) == (0, "")
    found = load_file("both/model.safetensors")
    for name, before in tensors.items():
        after = trained.get(name.removeprefix("autoencoder."), before)
        assert torch.equal(found[name], after), name

    trained["encoder.output.bias"] = trained["encoder.output.bias"] + 1
    save_file(trained, "second/model.safetensors")
    refuse(
        *("export", tiny_model_folder, "--decoder", "second", "--output", "other"),
        code=2,
        message="the decoder was trained with another encoder and reads other latents; give one "
        "that was trained with training.train=decoder from this model's autoencoder",
    )
    assert not Path("other").exists()
