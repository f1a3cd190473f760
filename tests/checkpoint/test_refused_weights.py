"""What is no weight is refused with file and tensor, in whatever layout it comes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec.structs import replace
from safetensors.torch import load_file, save_file
from torch import Tensor

from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.checkpoint.export import save_diffusers, save_stable_audio_tools
from stable_audio_open.checkpoint.layouts import read_checkpoint
from stable_audio_open.checkpoint.native import save_native
from stable_audio_open.checkpoint.source import HEADER
from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.read import encode_config
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.pretrained_autoencoder import load_autoencoder

pytestmark = pytest.mark.filterwarnings("ignore")  # of forms of tensors that torch means to drop

LAYOUTS = {
    "native": ("model.safetensors", "transformer.rotary.inverse_frequencies"),
    "stable-audio-tools": ("model.safetensors", "model.model.transformer.rotary_pos_emb.inv_freq"),
    "diffusers": ("transformer/diffusion_pytorch_model.safetensors", "time_proj.weight"),
}
"""Weights of each layout, and frequencies in it."""


@pytest.fixture(scope="module")
def folders(
    wide_model_config: DiffusionModelConfig,
    tiny_text_encoder: TextEncoder,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A model that all layouts can have, in each of them."""
    side = replace(wide_model_config.autoencoder.encoder, channels=16)
    autoencoder = replace(wide_model_config.autoencoder, encoder=side, decoder=side)
    config = replace(wide_model_config, autoencoder=autoencoder)
    folder = tmp_path_factory.mktemp("layouts")
    model = build_model(config, text_encoder=tiny_text_encoder)
    saves: dict[str, Callable[..., None]] = {
        "native": save_native,
        "stable-audio-tools": save_stable_audio_tools,
        "diffusers": save_diffusers,
    }
    for layout, save in saves.items():
        save(model, config, folder / layout)
    return folder


@pytest.fixture(params=LAYOUTS)
def weights(request: pytest.FixtureRequest, folders: Path, tmp_path: Path) -> tuple[Path, str]:
    """The file of a copy, and a tensor in it."""
    file, name = LAYOUTS[request.param]
    return Path(shutil.copytree(folders / request.param, tmp_path / "model")) / file, name


def source_of(path: Path) -> Path:
    return path.parents[1] if path.parent.name == "transformer" else path.parent


def put(path: Path, changes: dict[str, Tensor]) -> None:
    save_file(load_file(path) | changes, path, read_metadata(path))


def read_metadata(path: Path) -> dict[str, str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(file.metadata())


def refusal(source: Path, read: Callable[..., object] = load) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(source, device="cpu")
    message = str(caught.value)
    assert "\n" not in message
    return message


def not_finite(value: float) -> Callable[[Tensor], Tensor]:
    def change(tensor: Tensor) -> Tensor:
        changed = tensor.clone()
        changed.view(-1)[-1] = value
        return changed

    return change


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "is of the type int8": lambda t: t.to(torch.int8),
    "is of the type int64": lambda t: t.long(),
    "is of the type bool": lambda t: t.bool(),
    "is of the type complex64": lambda t: t.to(torch.complex64),
    "is of the type float8_e5m2": lambda t: t.to(torch.float8_e5m2),
    "holds NaN": not_finite(torch.nan),
    "holds infinity": not_finite(-torch.inf),
    "holds numbers that float32 cannot hold": lambda t: not_finite(1e200)(t.double()),
}


@pytest.mark.slow
@pytest.mark.parametrize("told", KINDS)
def test_safetensors_of_every_layout(weights: tuple[Path, str], told: str) -> None:
    path, name = weights
    put(path, {name: KINDS[told](load_file(path)[name])})
    source = source_of(path)
    message = refusal(source)
    assert message.startswith(str(source))
    assert f"{name} {told}; allowed: " in message


def test_other_precisions_are_read(weights: tuple[Path, str]) -> None:
    path, name = weights
    put(path, {name: load_file(path)[name].double()})
    model = StableAudio.from_pretrained(source_of(path), device="cpu")
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


UNSAFE: dict[str, Callable[[Tensor], Tensor]] = KINDS | {
    "is sparse (sparse_coo)": lambda t: t.to_sparse(),
    "is quantised (qint8)": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
    "is a meta tensor, which holds no numbers": lambda t: t.to("meta"),
}


def native_state(folders: Path) -> tuple[dict[str, Tensor], str]:
    config = read_checkpoint(folders / "native").config
    tensors = load_file(folders / "native" / "model.safetensors")
    return tensors, encode_config(config).decode()


def training(path: Path, tensors: dict[str, Tensor], header: object) -> Path:
    """Write a checkpoint as our training does."""
    state = {f"model.{name}": tensor for name, tensor in tensors.items()}
    torch.save({"state_dict": state, "epoch": 1, HEADER: header}, path)
    return path


@pytest.mark.parametrize("told", UNSAFE)
def test_checkpoints_of_our_training(folders: Path, tmp_path: Path, told: str) -> None:
    tensors, config = native_state(folders)
    name = "autoencoder.decoder.output.parametrizations.weight.original0"
    tensors[name] = UNSAFE[told](tensors[name])
    path = training(tmp_path / "last.ckpt", tensors, {"config": config, "lora": None})
    message = refusal(path, load_autoencoder)
    assert message.startswith(f"{path}: {name} {told}; allowed: ")


def test_what_is_not_loaded_may_be_anything(folders: Path, tmp_path: Path) -> None:
    tensors, config = native_state(folders)
    path = training(tmp_path / "last.ckpt", tensors, {"config": config, "lora": None})
    load_autoencoder(path, device="cpu")
    tensors["transformer.input_conv.weight"] *= torch.nan
    load_autoencoder(training(path, tensors, {"config": config, "lora": None}), device="cpu")


@pytest.mark.parametrize("told", UNSAFE)
def test_checkpoints_of_stable_audio_tools(folders: Path, tmp_path: Path, told: str) -> None:
    folder = Path(shutil.copytree(folders / "stable-audio-tools", tmp_path / "model"))
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    name = LAYOUTS["stable-audio-tools"][1]
    tensors[name] = UNSAFE[told](tensors[name])
    state = {f"diffusion.{key}": tensor for key, tensor in tensors.items()}
    torch.save({"state_dict": state}, folder / "model.ckpt")
    message = refusal(folder)
    assert message.startswith(f"{folder / 'model.ckpt'}: {name} {told}; allowed: ")


HEADERS: list[object] = [
    *([], {}, 1, None, "x", True, [1], {"config": 1}, {"config": None}),
    *({"config": "{}", "lora": []}, {"config": "{}", "lora": "x"}, {"lora": {}}),
]


@pytest.mark.parametrize("header", HEADERS)
def test_headers_of_any_type_give_one_line(folders: Path, tmp_path: Path, header: object) -> None:
    path = training(tmp_path / "last.ckpt", native_state(folders)[0], header)
    assert refusal(path) == (
        f"{path}: its entry 'stable_audio_open' is not what this library's training writes (a "
        "configuration as text, and settings of an adapter); copy the checkpoint again"
    )


@pytest.mark.parametrize("text", ["", "[]", "1", "null", '"x"', "{", '{"type": 1}', "[[["])
def test_configurations_of_any_type_give_one_line(folders: Path, tmp_path: Path, text: str) -> None:
    path = training(tmp_path / "last.ckpt", native_state(folders)[0], {"config": text})
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load(path, device="cpu")
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [{1: torch.zeros(1)}, {"state_dict": {1: torch.zeros(1)}}, {("a", 1): torch.zeros(1), "b": 2},
     {1: 2, "a": torch.zeros(1)}],
)  # fmt: skip
def test_names_that_are_no_text_give_one_line(tmp_path: Path, content: object) -> None:
    path = tmp_path / "last.ckpt"
    torch.save(content, path)
    assert refusal(path) == f"{path}: found names that are not text; allowed: named tensors"


@pytest.mark.parametrize("value", [[], 1, None, "x", True, [{}], {}])
@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("native", "config.json"),
        ("stable-audio-tools", "model_config.json"),
        ("diffusers", "vae/config.json"),
        ("diffusers", "transformer/config.json"),
    ],
)
def test_configuration_files_of_any_type_give_one_line(
    folders: Path, tmp_path: Path, layout: str, name: str, value: Any
) -> None:
    folder = Path(shutil.copytree(folders / layout, tmp_path / "model"))
    (folder / name).write_text(json.dumps(value))
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load(folder, device="cpu")
    assert str(caught.value).startswith(str(folder / name))
    assert "\n" not in str(caught.value)


def test_half_precision_makes_nothing_infinite(folders: Path, tmp_path: Path) -> None:
    path = shutil.copytree(folders / "native", tmp_path / "model") / "model.safetensors"
    name = "transformer.input_conv.weight"
    large = load_file(path)[name]
    large.view(-1)[3] = -69632
    put(path, {name: large})
    told = rf"^{name} holds 69632, which float16 cannot hold; use bfloat16 or float32$"
    with pytest.raises(CheckpointError, match=told):
        load(path.parent, device="cpu", dtype="float16")
    model = StableAudio.from_pretrained(path.parent, device="cpu", dtype="bfloat16")
    assert model.transformer.dtype == torch.bfloat16
    for save in (save_native, save_stable_audio_tools, save_diffusers):
        with pytest.raises(CheckpointError, match=told):
            save(model, model.config, tmp_path / "half", dtype=torch.float16)
    assert not (tmp_path / "half").exists()
