"""Random adapters of each setting of peft: merged as peft applies them, or refused by name."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stable_audio_open.checkpoint.lora.adapter import read_adapter
from stable_audio_open.checkpoint.lora.merging import merge_adapters
from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.conditions import Conditioning
from stable_audio_open.pretrained import StableAudio

pytestmark = pytest.mark.filterwarnings("ignore")  # peft's own

MATRICES = ["qkv", "query", "key_value", "output"]

SAME: dict[str, dict[str, Any]] = {
    "plain": {},
    "rank 1": {"r": 1},
    "alpha is no multiple": {"r": 3, "lora_alpha": 7},
    "alpha 0.5": {"lora_alpha": 0.5},
    "rslora": {"r": 4, "lora_alpha": 6, "use_rslora": True},
    "dora": {"use_dora": True},
    "dora with rslora": {"r": 3, "lora_alpha": 5, "use_dora": True, "use_rslora": True},
    "dora with biases": {"target_modules": ["expand", "contract"], "use_dora": True},
    "dropout": {"lora_dropout": 0.3},
    "feed-forward with biases": {"target_modules": ["expand", "contract"]},
    "one layer by a pattern": {"target_modules": r".*blocks\.1\.self_attention\.qkv"},
    "some blocks": {"layers_to_transform": [1], "layers_pattern": "blocks"},
    "all but": {"target_modules": "all-linear", "exclude_modules": ["output_projection"]},
    "input and output": {"target_modules": ["input_projection", "output_projection"]},
    "gaussian": {"init_lora_weights": "gaussian"},
    "Gaussian": {"init_lora_weights": "Gaussian"},
    "orthogonal": {"init_lora_weights": "orthogonal"},
    "random": {"init_lora_weights": False},
}

REFUSED: dict[str, dict[str, Any]] = {
    "init_lora_weights is 'pissa'": {"init_lora_weights": "pissa"},
    "init_lora_weights is 'pissa_niter_4'": {"init_lora_weights": "pissa_niter_4"},
    "init_lora_weights is 'olora'": {"init_lora_weights": "olora"},
    "lora_bias is True": {"target_modules": ["expand", "contract"], "lora_bias": True},
    "bias is 'all'": {"bias": "all"},
    "bias is 'lora_only'": {"target_modules": ["expand", "contract"], "bias": "lora_only"},
    "modules_to_save is ['output_projection']": {"modules_to_save": ["output_projection"]},
    "rank_pattern is {'qkv': 2}": {"rank_pattern": {"qkv": 2}},
    "alpha_pattern is {'qkv': 2}": {"alpha_pattern": {"qkv": 2}},
}


@pytest.fixture(scope="module")
def transformer(tiny_model_folder: Path) -> nn.Module:
    return StableAudio.from_pretrained(tiny_model_folder, device="cpu").transformer


def velocity(transformer: Any, plain: Any) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    conditioning = Conditioning(
        torch.randn(2, 5, plain.context_projection[0].in_features, generator=generator),
        torch.randn(2, plain.global_projection[0].in_features, generator=generator),
    )
    x = torch.randn(2, plain.latent_channels, 12, generator=generator)
    with torch.no_grad():
        out: Tensor = transformer(x, torch.tensor([0.2, 0.7]), conditioning)
    return out


def save(transformer: nn.Module, folder: Path, *, seed: int = 1, **settings: Any) -> None:
    """Save an adapter with random matrices (and biases, where it has some) with peft."""
    from peft import LoraConfig, get_peft_model

    chosen = {"r": 4, "lora_alpha": 8, "target_modules": MATRICES} | settings
    adapted: Any = get_peft_model(copy.deepcopy(transformer), LoraConfig(**chosen))  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    adapted.save_pretrained(folder)


def applied_by_peft(transformer: nn.Module, folder: Path) -> nn.Module:
    from peft import PeftModel

    loaded: Any = PeftModel.from_pretrained(copy.deepcopy(transformer), folder)  # type: ignore[arg-type]
    whole: nn.Module = loaded.eval().base_model.model
    return whole


def merged(transformer: nn.Module, folder: Path, weight: float = 1.0) -> nn.Module:
    ours = copy.deepcopy(transformer)
    merge_adapters(ours, [(read_adapter(folder), weight)])
    return ours


@pytest.mark.parametrize("name", SAME)
def test_it_is_merged_as_peft_applies_it(name: str, transformer: nn.Module, tmp_path: Path) -> None:
    save(transformer, tmp_path, **SAME[name])
    theirs = velocity(applied_by_peft(transformer, tmp_path), transformer)
    torch.testing.assert_close(
        velocity(merged(transformer, tmp_path), transformer), theirs, rtol=1e-4, atol=1e-5
    )
    assert (theirs - velocity(transformer, transformer)).abs().max() > 1e-3


def test_a_weight_of_dora_interpolates(transformer: nn.Module, tmp_path: Path) -> None:
    save(transformer, tmp_path, use_dora=True)
    name = "blocks.0.self_attention.qkv.weight"
    base, half, full = (
        merged(transformer, tmp_path, weight).state_dict()[name] for weight in (0.0, 0.5, 1.0)
    )
    assert torch.equal(base, transformer.state_dict()[name])
    torch.testing.assert_close(half, (base + full) / 2)
    magnitudes = load_file(tmp_path / "adapter_model.safetensors")
    (length,) = (t for k, t in magnitudes.items() if "0.self_attention.qkv.lora_magn" in k)
    torch.testing.assert_close(full.norm(dim=1), length)


@pytest.mark.parametrize("kinds", [(True, True), (True, False), (False, True)])
def test_several_are_merged_as_peft_adds_them_up(
    kinds: tuple[bool, bool], transformer: nn.Module, tmp_path: Path
) -> None:
    """In their order, each row's length measured without the others."""
    from peft import PeftModel

    folders = [tmp_path / "a", tmp_path / "b"]
    for seed, (folder, is_dora) in enumerate(zip(folders, kinds, strict=True)):
        save(transformer, folder, seed=seed, use_dora=is_dora)
    loaded: Any = PeftModel.from_pretrained(copy.deepcopy(transformer), folders[0], "a")  # type: ignore[arg-type]
    loaded.load_adapter(folders[1], "b")
    adapters = {folder.name: (read_adapter(folder), 1.0) for folder in folders}
    for order in (["a", "b"], ["b", "a"]):
        loaded.base_model.set_adapter(order)
        theirs = velocity(loaded.eval().base_model.model, transformer)
        ours = copy.deepcopy(transformer)
        merge_adapters(ours, [adapters[name] for name in order])
        torch.testing.assert_close(velocity(ours, transformer), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("told", REFUSED)
def test_what_is_not_merged_is_refused_by_name(
    told: str, transformer: nn.Module, tmp_path: Path
) -> None:
    save(transformer, tmp_path, **REFUSED[told])
    with pytest.raises(CheckpointError) as caught:
        read_adapter(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: {told}; allowed: ")


@pytest.fixture
def folder(transformer: nn.Module, tmp_path: Path) -> Path:
    save(transformer, tmp_path)
    return tmp_path


def change(folder: Path, **changes: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(folder: Path) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read_adapter(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(folder), "FOLDER")


@pytest.mark.parametrize(
    "start", ["corda", "loftq", "lora_ga", "mica", "unheard-of", 1, 0, None, []]
)
def test_other_starts_are_refused(folder: Path, start: object) -> None:
    change(folder, init_lora_weights=start)
    assert refusal(folder) == (
        f"FOLDER: init_lora_weights is {start!r}; allowed: True, False, 'gaussian', 'eva', "
        "'orthogonal', since others may change the base weights; convert it with peft "
        "(path_initial_model_for_weight_conversion of save_pretrained)"
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"r": 0}, "r is 0; allowed: an integer >= 1"),
        ({"r": "4"}, "r is '4'; allowed: an integer >= 1"),
        ({"r": True}, "r is True; allowed: an integer >= 1"),
        ({"r": None}, "r is None; allowed: an integer >= 1"),
        ({"lora_alpha": "8"}, "lora_alpha is '8'; allowed: a finite number"),
        ({"lora_alpha": None}, "lora_alpha is None; allowed: a finite number"),
        ({"lora_alpha": 10**400}, f"lora_alpha is 1{'0' * 58}…; allowed: a finite number"),
        ({"use_rslora": "yes"}, "use_rslora is 'yes'; allowed: true or false"),
        ({"use_rslora": 1}, "use_rslora is 1; allowed: true or false"),
        ({"use_dora": "yes"}, "use_dora is 'yes'; allowed: true or false"),
        ({"use_dora": True}, "use_dora is True, and 0 of 10 layers have a lora_magnitude_vector; "
         "allowed: one for each, save it again with peft"),
        ({"layer_replication": [[0, 2]]}, "layer_replication is [[0, 2]]; allowed: leave it out, "
         "adapters that need it are not supported"),
        ({"use_qalora": True}, "use_qalora is True; allowed: leave it out, adapters that need it "
         "are not supported"),
        ({"of_a_peft_to_come": {"a": 1}}, "of_a_peft_to_come is {'a': 1}; allowed: leave it out, "
         "adapters that need it are not supported"),
        ({"r": 5}, "lora_A of blocks.0.cross_attention.key_value is [4, 16]; allowed: [5, inputs], "
         "since r is 5"),
    ],
)  # fmt: skip
def test_bad_settings_are_refused(folder: Path, changes: dict[str, Any], told: str) -> None:
    change(folder, **changes)
    assert refusal(folder) == f"FOLDER: {told}"


@pytest.mark.parametrize("value", [[], {}, 1, None, "x", [{"r": 4}], True])
def test_settings_of_any_json_type_give_one_line(folder: Path, value: object) -> None:
    (folder / "adapter_config.json").write_text(json.dumps(value))
    told = (
        "peft_type is None; allowed: 'LORA'"
        if value == {}
        else (f"found {value!r} for the settings of an adapter; allowed: an object")
    )
    assert refusal(folder) == f"FOLDER: {told}"


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b'{"r": NaN}', b'{"r": 1, "r": 2}'])
def test_settings_that_are_no_json_give_one_line(folder: Path, text: bytes) -> None:
    (folder / "adapter_config.json").write_bytes(text)
    assert refusal(folder).startswith("FOLDER/adapter_config.json: ")


NAME = "base_model.model.blocks.0.self_attention.qkv.lora_A.weight"
SHORT = NAME.removeprefix("base_model.model.")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({NAME: None}, "holds no pairs of lora_A and lora_B weights"),
        ({"base_model.model.blocks.0.self_attention.qkv.bias": torch.zeros(3)},
         "holds 1 tensors that are no lora_A or lora_B weight, blocks.0.self_attention.qkv.bias "
         "first; allowed: plain LoRA and DoRA, each tensor of which is merged"),
        ({"base_model.model.x.lora_embedding_A": torch.zeros(3)},
         "holds 1 tensors that are no lora_A or lora_B weight, x.lora_embedding_A first; allowed: "
         "plain LoRA and DoRA, each tensor of which is merged"),
        ({NAME: torch.zeros(4, 32, dtype=torch.int8)}, f"{SHORT} is of the type int8"),
        ({NAME: torch.zeros(4, 32, dtype=torch.complex64)}, f"{SHORT} is of the type complex64"),
        ({NAME: torch.full((4, 32), torch.nan)}, f"{SHORT} holds NaN"),
        ({NAME: torch.full((4, 32), torch.inf)}, f"{SHORT} holds infinity"),
        ({NAME: torch.zeros(4, 32, 1)}, "lora_A of blocks.0.self_attention.qkv is [4, 32, 1]; "
         "allowed: [4, inputs], since r is 4"),
        ({NAME.replace("lora_A", "lora_B"): torch.zeros(96, 3)},
         "lora_B of blocks.0.self_attention.qkv is [96, 3]; allowed: [outputs, 4], since r is 4"),
        ({SHORT: torch.zeros(4, 32)}, "holds tensors with and without base_model.model. before"),
    ],
)  # fmt: skip
def test_every_tensor_is_merged_or_the_file_is_refused(
    folder: Path, changes: dict[str, Tensor | None], told: str
) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path) | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)
    assert told in refusal(folder)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"use_dora": False}, "holds 10 tensors that are no lora_A or lora_B weight, blocks.0."),
        (torch.zeros(3), "lora_magnitude_vector of blocks.0.self_attention.qkv is [3]; allowed: "
         "[96], one for each row of lora_B"),
        (torch.full((96,), torch.nan), "blocks.0.self_attention.qkv.lora_magnitude_vector"),
    ],
)  # fmt: skip
def test_magnitudes_fit_or_are_refused(
    transformer: nn.Module, tmp_path: Path, changes: Any, told: str
) -> None:
    save(transformer, tmp_path, use_dora=True)
    if isinstance(changes, dict):
        change(tmp_path, **changes)
    else:
        path = tmp_path / "adapter_model.safetensors"
        tensors = load_file(path)
        (name,) = (k for k in tensors if "0.self_attention.qkv.lora_magnitude_vector" in k)
        save_file(tensors | {name: changes}, path)
    assert refusal(tmp_path).startswith(f"FOLDER: {told}")


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        ("blocks.9.self_attention.qkv", r"\[96, 32\] there and no such layer here"),
        ("input_conv", r"\[96, 32\] there and a Conv1d here"),
        ("blocks.0.self_attention.output", r"\[96, 32\] there and \[32, 32\] here"),
    ],
)
def test_layers_of_another_model_are_refused_and_nothing_is_changed(
    folder: Path, transformer: nn.Module, layer: str, told: str
) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    for side in "AB":
        name = NAME.replace("lora_A", f"lora_{side}")
        tensors[name.replace("blocks.0.self_attention.qkv", layer)] = tensors.pop(name)
    save_file(tensors, path)
    ours = copy.deepcopy(transformer)
    with pytest.raises(CheckpointError, match=told):
        merge_adapters(ours, [(read_adapter(folder), 1.0)])
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, transformer.state_dict()[name])


def test_a_sum_that_is_not_finite_is_refused_and_nothing_is_changed(
    folder: Path, transformer: nn.Module
) -> None:
    ours = copy.deepcopy(transformer)
    with pytest.raises(CheckpointError, match=r"merged with the weight 1e\+300, .* holds infinity"):
        merge_adapters(ours, [(read_adapter(folder), 1e300)])
    for name, tensor in ours.state_dict().items():
        assert torch.equal(tensor, transformer.state_dict()[name])
