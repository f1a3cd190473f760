"""A model like the published small one, with random weights, in every layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import load_file, save_file

from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.checkpoint.export import save_diffusers, save_stable_audio_tools
from stable_audio_open.checkpoint.native import save_native
from stable_audio_open.config.conditioning import ConditioningConfig, NumberConfig, T5Config
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import DiffusionModelConfig, TimestepShiftConfig
from stable_audio_open.config.transformer import TransformerConfig
from stable_audio_open.pretrained import StableAudio
from tests.conftest import small_model


def base_model(name: str) -> DiffusionModelConfig:
    """A model that diffusers can express."""
    config = small_model(name=name, head_width=64)
    encoder = replace(config.autoencoder.encoder, channels=16)
    return replace(config, autoencoder=replace(config.autoencoder, encoder=encoder))


@pytest.fixture(scope="module")
def config() -> DiffusionModelConfig:
    """Normalised queries and keys, projected context, a flow, and numbers of other names."""
    base = base_model("like-small")
    return replace(
        base,
        objective="rf_denoiser",
        timestep_shift=TimestepShiftConfig(max_shift=2.0, use_sine=True),
        conditioning=ConditioningConfig(
            width=24,
            conditioners=(
                T5Config(id="prompt", model="text_encoder", max_length=6),
                NumberConfig(id="seconds_total", min=0, max=256),
                NumberConfig(id="bpm", min=40, max=240),
                NumberConfig(id="brightness", min=-1, max=1),
            ),
            cross_attention=("prompt", "seconds_total", "bpm"),
            global_=("seconds_total", "brightness"),
        ),
        transformer=TransformerConfig(
            latent_channels=8,
            width=128,
            depth=2,
            heads=2,
            context_width=24,
            global_width=48,
            qk_norm="ln",
            project_context=True,
        ),
    )


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    config: DiffusionModelConfig,
    tiny_text_encoder: TextEncoder,
) -> Path:
    folder = tmp_path_factory.mktemp("small") / "native"
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = build_model(config, text_encoder=tiny_text_encoder)
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.transformer.named_parameters():
        if "norm" in name:  # new ones are all alike
            with torch.no_grad():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    save_native(model, config, folder)
    return folder


@pytest.fixture
def model(folder: Path) -> StableAudio:
    return StableAudio.from_pretrained(folder, device="cpu")


def check_same(found: StableAudio, expected: StableAudio) -> None:
    theirs, ours = found.state_dict(), expected.state_dict()
    assert theirs.keys() == ours.keys()
    for name, tensor in ours.items():
        assert torch.equal(theirs[name], tensor), name


def test_the_native_layout_keeps_everything(
    model: StableAudio, config: DiffusionModelConfig, tmp_path: Path
) -> None:
    assert model.config == config
    model.save_pretrained(tmp_path / "again")
    back = StableAudio.from_pretrained(tmp_path / "again", device="cpu")
    assert back.config == config
    check_same(back, model)


def test_stable_audio_tools_and_back_is_bitwise(model: StableAudio, tmp_path: Path) -> None:
    save_stable_audio_tools(model, model.config, tmp_path / "out")
    back = StableAudio.from_pretrained(tmp_path / "out", device="cpu")
    check_same(back, model)
    name, parts = back.config.name, back.config.conditioning
    assert name == "model_config"
    assert replace(back.config, name="like-small", conditioning=parts) == model.config
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    first = "model.model.transformer.layers.0."
    block = model.transformer.state_dict()
    for part, there in (("self_attention", "self_attn"), ("cross_attention", "cross_attn")):
        for ours, theirs in (("query_norm", "q_norm"), ("key_norm", "k_norm")):
            for leaf in ("weight", "bias"):
                found = tensors[f"{first}{there}.{theirs}.{leaf}"]
                assert torch.equal(found, block[f"blocks.0.{part}.{ours}.{leaf}"])
    assert "conditioner.conditioners.bpm.embedder.embedding.1.weight" in tensors
    again = tmp_path / "again"
    save_stable_audio_tools(back, back.config, again)
    for file in ("model.safetensors", "model_config.json"):
        assert (again / file).read_bytes() == (tmp_path / "out" / file).read_bytes()


@pytest.mark.parametrize("missing", ["self_attn.q_norm.bias", "cross_attn.k_norm.weight"])
def test_a_missing_norm_is_named(model: StableAudio, tmp_path: Path, missing: str) -> None:
    save_stable_audio_tools(model, model.config, tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors[f"model.model.transformer.layers.1.{missing}"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=rf"1 missing: model\.model\.\S+layers\.1\.{missing};"):
        StableAudio.from_pretrained(tmp_path, device="cpu")


@pytest.mark.slow
def test_norms_without_qk_norm_in_the_configuration_are_refused(
    model: StableAudio, tmp_path: Path
) -> None:
    save_stable_audio_tools(model, model.config, tmp_path)
    file = json.loads((tmp_path / "model_config.json").read_text())
    del file["model"]["diffusion"]["config"]["attn_kwargs"]
    (tmp_path / "model_config.json").write_text(json.dumps(file))
    with pytest.raises(ValueError, match="16 unexpected: "):
        StableAudio.from_pretrained(tmp_path, device="cpu")


def plain(config: DiffusionModelConfig, **changes: Any) -> DiffusionModelConfig:
    base = base_model("plain")
    transformer = {
        k: changes.pop(k) for k in ("qk_norm", "project_context", "inpainting") if k in changes
    }
    return replace(base, transformer=replace(base.transformer, **transformer), **changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"objective": "rectified_flow"}, '$.objective: found "rectified_flow"; allowed in '
         "diffusers: v"),
        ({"objective": "rf_denoiser"}, '$.objective: found "rf_denoiser"; allowed in diffusers: v'),
        ({"qk_norm": "ln"}, '$.transformer.qk_norm: found "ln"; allowed in diffusers: none'),
        ({"inpainting": True}, "$.transformer.inpainting: found true; allowed in diffusers: False"),
        ({"project_context": True}, "$.transformer.project_context: found true; allowed in "
         "diffusers: False"),
    ],
)  # fmt: skip
def test_diffusers_has_no_such_model(
    config: DiffusionModelConfig,
    tiny_text_encoder: TextEncoder,
    tmp_path: Path,
    changes: dict[str, Any],
    problem: str,
) -> None:
    changed = plain(config, **changes)
    model = build_model(changed, text_encoder=tiny_text_encoder)
    with pytest.raises(ConfigError) as error:
        save_diffusers(model, changed, tmp_path / "out")
    assert str(error.value) == f"plain: {problem}"
    assert not (tmp_path / "out").exists()


def test_diffusers_has_no_other_numbers(model: StableAudio, tmp_path: Path) -> None:
    config = replace(model.config, objective="v", timestep_shift=None)
    with pytest.raises(ConfigError, match=r"^like-small: \$\.conditioning\.conditioners: "):
        save_diffusers(model, config, tmp_path / "out")


def test_a_model_without_numbers_goes_through_stable_audio_tools(
    tiny_text_encoder: TextEncoder, tmp_path: Path, randomise: Callable[..., None]
) -> None:
    base = base_model("text-alone")
    parts = base.conditioning
    config = replace(
        base,
        conditioning=replace(
            parts, conditioners=parts.conditioners[:1], cross_attention=("prompt",), global_=()
        ),
        transformer=replace(base.transformer, global_width=0),
    )
    model = build_model(config, text_encoder=tiny_text_encoder)
    randomise(model.transformer)
    model.float()
    save_stable_audio_tools(model, config, tmp_path)
    back = StableAudio.from_pretrained(tmp_path, device="cpu")
    ours = model.state_dict()
    assert all(torch.equal(tensor, ours[name]) for name, tensor in back.state_dict().items())
    assert not any("to_global_embed" in name for name in load_file(tmp_path / "model.safetensors"))
    with pytest.raises(ConfigError, match=r"^text-alone: \$\.conditioning\.conditioners: "):
        save_diffusers(model, config, tmp_path / "out")
