"""Models written for other programs, and read back."""

import json
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stable_audio_open.checkpoint.export import save_diffusers, save_stable_audio_tools
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.pretrained import StableAudio, load


def same(found: nn.Module, expected: nn.Module) -> bool:
    theirs: dict[str, Tensor] = dict(found.state_dict())
    ours: dict[str, Tensor] = dict(expected.state_dict())
    return theirs.keys() == ours.keys() and all(torch.equal(theirs[k], ours[k]) for k in ours)


@pytest.fixture
def whole(wide_model_folder: Path) -> StableAudio:
    model = load(wide_model_folder, device="cpu")
    assert isinstance(model, StableAudio)
    return model


def test_stable_audio_tools_and_back_is_bitwise(whole: StableAudio, tmp_path: Path) -> None:
    save_stable_audio_tools(whole, whole.config, tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["model.safetensors", "model_config.json", "text_encoder", "tokenizer"]
    back = load(tmp_path / "out", device="cpu")
    assert same(back, whole)
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    assert "pretransform.model.decoder.layers.0.weight_g" in tensors
    assert "model.model.transformer.layers.0.self_attn.to_qkv.weight" in tensors
    assert not any("conditioners.prompt.model" in name for name in tensors)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "known"),
    [("t5-base", True), ("google/flan-t5-xl", True), ("data/my_t5", False), ("t5-bass", False)],
)
def test_a_text_encoder_that_stable_audio_tools_does_not_know_is_told(
    whole: StableAudio,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    name: str,
    known: bool,
) -> None:
    text, *numbers = whole.config.conditioning.conditioners
    named = msgspec.structs.replace(text, model=name)
    conditioning = msgspec.structs.replace(
        whole.config.conditioning, conditioners=(named, *numbers)
    )
    config = msgspec.structs.replace(whole.config, conditioning=conditioning)
    save_stable_audio_tools(whole, config, tmp_path / "out")
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(told) == (not known)
    for message in told:
        assert f"whose text encoder (t5_model_name) is {name!r}; it knows t5-small, " in message
    # Whatever the name, what was written is read; no hub is asked.
    assert same(load(tmp_path / "out", device="cpu"), whole)


def test_trained_text_encoder_goes_along(whole: StableAudio, tmp_path: Path) -> None:
    text, *numbers = whole.config.conditioning.conditioners
    trained = msgspec.structs.replace(text, trainable=True)
    conditioning = msgspec.structs.replace(
        whole.config.conditioning, conditioners=(trained, *numbers)
    )
    config = msgspec.structs.replace(whole.config, conditioning=conditioning)
    save_stable_audio_tools(whole, config, tmp_path / "out")
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    assert any("conditioners.prompt.model" in name for name in tensors)


def test_lone_autoencoder_to_stable_audio_tools(
    tiny_autoencoder_folder: Path,
    tiny_autoencoder_config: AutoencoderModelConfig,
    tmp_path: Path,
) -> None:
    model = load(tiny_autoencoder_folder, device="cpu")
    save_stable_audio_tools(model, tiny_autoencoder_config, tmp_path / "out")
    assert same(load(tmp_path / "out", device="cpu"), model)
    assert json.loads((tmp_path / "out/model_config.json").read_text())["sample_rate"] == 16000


def test_half_precision_keeps_frequencies(whole: StableAudio, tmp_path: Path) -> None:
    save_stable_audio_tools(whole, whole.config, tmp_path / "out", dtype=torch.float16)
    kinds = {k: v.dtype for k, v in load_file(tmp_path / "out" / "model.safetensors").items()}
    assert kinds["model.model.transformer.project_in.weight"] == torch.float16
    assert kinds["model.model.timestep_features.weight"] == torch.float32


def test_what_diffusers_cannot_express_is_refused(
    whole: StableAudio, tiny_autoencoder_config: AutoencoderModelConfig, tmp_path: Path
) -> None:
    twice = 2 * whole.config.autoencoder.latent_channels
    with pytest.raises(ConfigError, match=rf"encoder\.channels: .*; allowed in diffusers: {twice}"):
        save_diffusers(whole, whole.config, tmp_path / "out")
    scaled = scaled_config(whole.config)
    with pytest.raises(ConfigError, match=r"\$\.autoencoder\.scale: .* allowed in diffusers: 1"):
        save_diffusers(whole, scaled, tmp_path / "out")
    with pytest.raises(ConfigError, match="is an autoencoder; a pipeline holds a whole model"):
        save_diffusers(whole.autoencoder, tiny_autoencoder_config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def scaled_config(config: DiffusionModelConfig) -> DiffusionModelConfig:
    autoencoder = msgspec.structs.replace(config.autoencoder, scale=0.5)
    return msgspec.structs.replace(config, autoencoder=autoencoder)
