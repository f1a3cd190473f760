import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from stable_audio_open.pretrained import load

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]

ROOT = Path(__file__).parents[2]
PUBLISHED = ROOT / "configs" / "stable_audio_open_1_0"


def test_published_model(run: Run):
    """The counts of the published files: 745 tensors without the text encoder, buffers included."""
    shown = json.loads(run("info", PUBLISHED / "diffusion.json", "--json").stdout)
    numbers = {name: part["total"] for name, part in shown["parts"].items()}
    assert numbers == {
        "autoencoder": 156_112_514,
        "encoder": 77_989_888,
        "decoder": 78_122_626,
        "transformer": 1_056_939_152,
        "conditioner": 396_544,
        "text_encoder": 109_628_544,
    }
    buffers = {name: part["buffers"] for name, part in shown["parts"].items()}
    # The zero offsets of 24 blocks of three norms, and the frequencies of the rotation.
    assert buffers.pop("transformer") == 24 * 3 * 1536 + 16
    assert set(buffers.values()) == {0}
    stored = [shown["parts"][name] for name in ("autoencoder", "transformer", "conditioner")]
    assert sum(part["tensors"] for part in stored) == 745
    assert sum(part["total"] for part in stored) == 1_213_448_210
    assert (shown["encoder_margin"], shown["decoder_margin"]) == (8, 10)
    assert (shown["window_latents"], shown["downsampling"]) == (1024, 2048)
    assert shown["window_seconds"] == pytest.approx(47.55, abs=0.005)
    assert shown["latents_per_second"] == pytest.approx(21.53, abs=0.005)


def test_published_small_model(run: Run):
    """Of 750 tensors, 365 are the autoencoder's; the offsets of norms are stored there too."""
    path = ROOT / "configs" / "stable_audio_open_small" / "diffusion.json"
    shown = json.loads(run("info", path, "--json").stdout)
    numbers = {name: part["total"] for name, part in shown["parts"].items()}
    assert (numbers["transformer"], numbers["conditioner"]) == (340_928_672, 198_272)
    assert numbers["autoencoder"] == 156_112_514
    stored = [shown["parts"][name] for name in ("autoencoder", "transformer", "conditioner")]
    assert sum(part["tensors"] for part in stored) == 750
    assert (shown["window_latents"], shown["objective"]) == (256, "rectified_flow")
    assert shown["conditions"] == ["prompt", "seconds_total"]
    table = run("info", path).stdout
    assert "rectified_flow, conditioned on prompt, seconds_total\n" in table


def test_published_autoencoder(run: Run):
    shown = json.loads(run("info", PUBLISHED / "autoencoder.json", "--json").stdout)
    assert shown["parts"]["autoencoder"] == {
        "tensors": 365, "parameters": 156_112_514, "buffers": 0, "total": 156_112_514
    }  # fmt: skip
    assert set(shown["parts"]) == {"autoencoder", "encoder", "decoder"}
    assert "window_seconds" not in shown


def test_table(run: Run):
    shown = run("info", PUBLISHED / "diffusion.json").stdout
    for words in (
        "parameters",
        "buffers",
        "total",
        "1,056,828,544",
        "110,608",
        "1,056,939,152",
        "156,112,514",
        "396,544",
        "109,628,544",
        "47.55 s",
    ):
        assert words in shown


@pytest.mark.slow
def test_checkpoint_counts_what_is_loaded(run: Run, tiny_model_folder: Path):
    model = load(tiny_model_folder, device="cpu")
    for name in (".", "model.safetensors", "config.json"):
        source = tiny_model_folder / name
        parts = json.loads(run("info", source, "--json").stdout)["parts"]
        for name in ("autoencoder", "transformer"):
            state = getattr(model, name).state_dict()
            assert parts[name]["tensors"] == len(state)
            assert parts[name]["total"] == sum(tensor.numel() for tensor in state.values())
            part = getattr(model, name)
            for kind in ("parameters", "buffers"):
                counts = [tensor.numel() for tensor in getattr(part, kind)()]
                assert parts[name][kind] == sum(counts)
        encoder = model.conditioner.texts["prompt"].encoder
        numbers = sum(parameter.numel() for parameter in encoder.parameters())
        assert parts["text_encoder"]["total"] == numbers
        total = sum(parameter.numel() for parameter in model.conditioner.parameters())
        assert parts["conditioner"]["total"] == total - numbers


def test_configuration_in_the_layout_of_stable_audio_tools(run: Run):
    config = ROOT / "tests" / "config" / "published_model_config.json"
    parts = json.loads(run("info", config, "--json").stdout)["parts"]
    assert parts["transformer"]["total"] == 1_056_939_152


@pytest.mark.parametrize(
    ("source", "code", "message"),
    [
        ("nowhere.json", 2, "nowhere.json: no such file"),
        (
            "nowhere",
            2,
            "'nowhere' is neither a file nor a folder; give a configuration, a checkpoint or tiny",
        ),
        (
            "good.wav",
            1,
            "good.wav: found the suffix '.wav'; allowed: .safetensors, .ckpt, .pt, .pth, .bin",
        ),
    ],
)
def test_wrong_source(refuse: Refuse, recordings: Path, source: str, code: int, message: str):
    refuse("info", source, code=code, message=message)


def test_damaged_checkpoint(run: Run, tiny_model_folder: Path):
    whole = (tiny_model_folder / "model.safetensors").read_bytes()
    Path("model.safetensors").write_bytes(whole[:1000])
    result = run("info", "model.safetensors")
    assert result.returncode == 1
    assert "is truncated or not a checkpoint" in result.stderr
    assert result.stderr.count("\n") == 1


def test_misspelt_field(run: Run, tiny_model_folder: Path):
    text = (tiny_model_folder / "config.json").read_text()
    Path("config.json").write_text(text.replace('"strides"', '"stridez"', 1))
    result = run("info", "config.json")
    assert result.returncode == 2
    assert result.stderr.startswith(
        'stable-audio-open: config.json: $.autoencoder.encoder: unknown field "stridez"'
    )
    assert result.stderr.endswith('did you mean "strides"?\n')
    assert result.stderr.count("\n") == 1
