"""Adapters: trained, exported in peft's format, merged, and loaded by peft itself."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from stable_audio_open.checkpoint.lora.adapter import read_trained_adapter, save_adapter
from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.cli.main import main
from stable_audio_open.conditions import Conditioning
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.training import LoraConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import StableAudio, load

Change = Callable[..., DiffusionModelConfig]
Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def last(diffusion_run: DiffusionModelConfig, change: Change, tiny_model_folder: Path) -> Path:
    config = change(diffusion_run, name="lora")
    training: Any = config.training
    lora = LoraConfig(rank=3, alpha=6, targets=("self_attention", "feedforward"))
    training = msgspec.structs.replace(
        training, lora=lora, initialize=str(tiny_model_folder), autoencoder=None
    )
    return run_training(msgspec.structs.replace(config, training=training))


@pytest.fixture(scope="module")
def folder(last: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    assert main(["export", str(last), "--to", "lora", "--output", str(folder)]) == 0
    return folder


def whole(source: Path, **settings: Any) -> StableAudio:
    model = load(source, device="cpu", **settings)
    assert isinstance(model, StableAudio)
    return model.requires_grad_(False)


def velocity(transformer: torch.nn.Module, config: DiffusionModelConfig) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    width, part = config.conditioning.width, config.transformer
    conditioning = Conditioning(
        torch.randn(2, 5, width, generator=generator),
        torch.randn(2, part.global_width, generator=generator),
    )
    x = torch.randn(2, part.latent_channels, 12, generator=generator)
    with torch.no_grad():
        out: Tensor = transformer(x, torch.tensor([0.2, 0.7]), conditioning)
    return out


def test_only_the_adapter_is_trained(last: Path, tiny_model_folder: Path) -> None:
    weights = torch.load(last, weights_only=True)["state_dict"]
    base = load_file(tiny_model_folder / "model.safetensors")
    added = [key for key in weights if key.startswith("model.") and ".lora_" in key]
    assert len(added) == 2 * 2 * 2 * len({key.split(".")[3] for key in added})
    assert all(weights[key].any() for key in added)  # untrained, one of each pair is 0
    same = 0
    for key, tensor in weights.items():
        if key.startswith("model.") and ".lora_" not in key:
            plain = key.removeprefix("model.").replace(".base_layer.", ".")
            if plain in base:
                assert torch.equal(tensor, base[plain]), key
                same += 1
    assert same == len(base)


def test_a_checkpoint_loads_merged(last: Path, folder: Path, tiny_model_folder: Path) -> None:
    text = whole(tiny_model_folder).conditioner.texts["prompt"]
    pair = (text.tokenizer, text.encoder)
    merged, adapted = whole(last, text_encoder=pair), whole(tiny_model_folder, lora=[(folder, 1.0)])
    assert merged.state_dict().keys() == adapted.state_dict().keys()
    for key, tensor in adapted.state_dict().items():
        torch.testing.assert_close(merged.state_dict()[key], tensor)
    plain = velocity(whole(tiny_model_folder).transformer, merged.config)
    assert float((velocity(merged.transformer, merged.config) - plain).abs().max()) > 1e-3


def test_peft_loads_the_same(folder: Path, tiny_model_folder: Path) -> None:
    from peft import PeftModel

    base, adapted = whole(tiny_model_folder), whole(tiny_model_folder, lora=[(folder, 1.0)])
    theirs = PeftModel.from_pretrained(base.transformer, folder)  # type: ignore[arg-type]
    torch.testing.assert_close(
        velocity(theirs, base.config), velocity(adapted.transformer, base.config)
    )


def test_weights_scale_and_add_up(folder: Path, tiny_model_folder: Path) -> None:
    key = "transformer.blocks.0.self_attention.qkv.weight"

    def weight(*adapters: tuple[Path, float]) -> Tensor:
        return whole(tiny_model_folder, lora=list(adapters)).state_dict()[key]

    base, full = weight(), weight((folder, 1.0))
    torch.testing.assert_close(weight((folder, 0.0)), base)
    torch.testing.assert_close(weight((folder, 0.25)), base + 0.25 * (full - base))
    torch.testing.assert_close(
        weight((folder, 0.5), (folder, -0.2)), base + 0.3 * (full - base), rtol=1e-5, atol=1e-6
    )


def test_generation_takes_adapters(
    folder: Path, tiny_model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["generate", "kick", "--model", str(tiny_model_folder), "--steps", "2", "--seed", "1"]
    sounds = []
    for name, more in (
        ("plain", []),
        ("none", ["--lora", f"{folder}:0"]),
        ("some", ["--lora", f"{folder}:0.5", "--lora", str(folder)]),
    ):
        assert main([*command, *more, "--output", f"{name}.wav", "--no-tags"]) == 0
        sounds.append(Path(f"{name}.wav").read_bytes())
    assert sounds[0] == sounds[1] != sounds[2]


@pytest.mark.slow
def test_dora_and_a_stable_rank_are_trained(
    diffusion_run: DiffusionModelConfig, change: Change, tiny_model_folder: Path, tmp_path: Path
) -> None:
    """What is trained, exported and merged is what peft applies."""
    from peft import PeftModel

    config = change(diffusion_run, name="dora")
    training: Any = config.training
    lora = LoraConfig(rank=3, alpha=6, targets=("feedforward",), use_rslora=True, use_dora=True)
    training = msgspec.structs.replace(
        training, lora=lora, initialize=str(tiny_model_folder), autoencoder=None
    )
    last = run_training(msgspec.structs.replace(config, training=training))
    save_adapter(read_trained_adapter(last), tmp_path / "dora")
    base = whole(tiny_model_folder)
    text = base.conditioner.texts["prompt"]
    merged = whole(last, text_encoder=(text.tokenizer, text.encoder))
    adapted = whole(tiny_model_folder, lora=[(tmp_path / "dora", 1.0)])
    ours = velocity(adapted.transformer, base.config)
    torch.testing.assert_close(velocity(merged.transformer, base.config), ours)
    plain = velocity(base.transformer, base.config)
    theirs = PeftModel.from_pretrained(base.transformer, tmp_path / "dora")  # type: ignore[arg-type]
    torch.testing.assert_close(velocity(theirs, base.config), ours)
    assert float((ours - plain).abs().max()) > 1e-3


def test_the_file_is_small_and_says_what_it_is(folder: Path) -> None:
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert (settings["peft_type"], settings["r"], settings["lora_alpha"]) == ("LORA", 3, 6)
    tensors = load_file(folder / "adapter_model.safetensors")
    assert all(".lora_A." in name or ".lora_B." in name for name in tensors)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; allowed: 'LORA'"),
        ({"bias": "all"}, "bias is 'all'; allowed: 'none', other adapters are not supported"),
    ],
)
def test_other_adapters_are_refused(
    folder: Path, tiny_model_folder: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    shutil.copytree(folder, tmp_path / "other")
    path = tmp_path / "other" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError, match=message):
        whole(tiny_model_folder, lora=[(tmp_path / "other", 1.0)])


@pytest.mark.slow
def test_an_adapter_of_another_model_is_refused(
    last: Path, tiny_model_folder: Path, tmp_path: Path
) -> None:
    adapter = read_trained_adapter(last)
    name = next(iter(adapter.down))
    wider = adapter.down | {name: torch.zeros(3, 99)}
    save_adapter(adapter._replace(down=wider), tmp_path / "wide")
    with pytest.raises(
        CheckpointError, match=r"was made for another model: blocks\.0\..* 99\] there"
    ):
        whole(tiny_model_folder, lora=[(tmp_path / "wide", 1.0)])


def test_a_folder_without_an_adapter_is_refused(tiny_model_folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no adapter_config\.json; give a folder"):
        whole(tiny_model_folder, lora=[(tiny_model_folder, 1.0)])


def test_a_checkpoint_without_an_adapter_is_refused(
    diffusion_run: DiffusionModelConfig, change: Change
) -> None:
    last = run_training(change(diffusion_run, name="no_lora", max_steps=1))
    with pytest.raises(CheckpointError, match=r"holds no adapter; it was not trained with"):
        read_trained_adapter(last)
