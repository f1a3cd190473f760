import re

import pytest
import torch
from torch import Tensor, nn

from stable_audio_open.checkpoint.weights.key_map import KeyMap, Rule
from stable_audio_open.checkpoint.weights.strict import load_strictly
from stable_audio_open.checkpoint.weights.tensors import CheckpointError

NAMES = KeyMap((Rule("weight", ("w",)), Rule("bias", ("b",))))


def tensors(seed: int = 0, width: int = 3) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "weight": torch.randn(2, width, generator=generator),
        "bias": torch.randn(2, generator=generator),
    }


def test_a_module_on_the_meta_device_takes_the_tensors_themselves() -> None:
    with torch.device("meta"):
        layer = nn.Linear(3, 2)
    given = {name: tensor.half() for name, tensor in tensors().items()}
    load_strictly(layer, given, source="file")
    assert layer.weight.data_ptr() == given["weight"].data_ptr()
    assert layer.weight.dtype == torch.float16
    assert layer.weight.requires_grad


def test_tensors_that_share_memory_in_a_file_are_apart() -> None:
    """Training would change them together, or refuse a tensor that is one number many times."""
    with torch.device("meta"):
        layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)])
    long = torch.arange(20.0)
    given = {
        "0.weight": long[:9].view(3, 3),
        "1.weight": long[:9].view(3, 3),
        "2.weight": long[4:13].view(3, 3).T,
        "0.bias": torch.ones(1).expand(3),
        "1.bias": long[13:16],
        "2.bias": long[16:19],
    }
    wanted = {name: tensor.clone() for name, tensor in given.items()}
    load_strictly(layers, given, source="file")
    for name, parameter in layers.named_parameters():
        assert torch.equal(parameter, wanted[name])
        assert parameter.is_contiguous()
        with torch.no_grad():
            parameter.fill_(-1.0)
        wanted[name] = torch.full_like(parameter, -1.0)
        assert all(torch.equal(own, wanted[other]) for other, own in layers.named_parameters())
    # What shares nothing is taken as it is.
    assert layers[1].bias.data_ptr() == given["1.bias"].data_ptr()


def test_a_module_elsewhere_takes_the_numbers_and_keeps_its_type() -> None:
    layer = nn.Linear(3, 2, dtype=torch.float64)
    parameter, given = layer.weight, tensors()
    load_strictly(layer, given, source="file")
    assert layer.weight is parameter
    torch.testing.assert_close(layer.weight.data, given["weight"].double())


def test_buffers_are_loaded() -> None:
    with torch.device("meta"):
        norm = nn.BatchNorm1d(2, affine=False)
    given = {
        "running_mean": torch.tensor([1.0, 2.0]),
        "running_var": torch.tensor([3.0, 4.0]),
        "num_batches_tracked": torch.tensor(5),
    }
    load_strictly(norm, given, source="file")
    assert {name: buffer.tolist() for name, buffer in norm.named_buffers()} == {
        "running_mean": [1.0, 2.0],
        "running_var": [3.0, 4.0],
        "num_batches_tracked": 5,
    }


def test_all_faults_are_told_at_once_in_the_names_of_the_file() -> None:
    found = {"w": torch.zeros(2, 4), "c": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        load_strictly(nn.Linear(3, 2), found, source="model.ckpt", keys=NAMES)
    assert str(caught.value) == (
        "model.ckpt does not fit its configuration: 1 missing: b; 1 unexpected: c; "
        "1 misshapen: w [2, 4] instead of [2, 3]; use the configuration that the weights were "
        "trained with"
    )


def test_ten_names_are_listed_and_the_rest_counted() -> None:
    found = tensors() | {f"extra.{i}": torch.zeros(1) for i in range(13)}
    listed = ", ".join(f"extra.{i}" for i in range(10))
    with pytest.raises(CheckpointError, match=re.escape(f"13 unexpected: {listed} and 3 more;")):
        load_strictly(nn.Linear(3, 2), found, source="file")


def test_nothing_is_loaded_when_anything_is_wrong() -> None:
    layer = nn.Linear(3, 2)
    before = layer.weight.clone()
    with pytest.raises(CheckpointError):
        load_strictly(layer, {"weight": torch.zeros(2, 3)}, source="file")
    assert torch.equal(layer.weight, before)


class TestOptionalPart:
    """A part that a file may leave out, but not half of it."""

    @pytest.fixture
    def module(self) -> nn.ModuleDict:
        return nn.ModuleDict({"own": nn.Linear(3, 2), "text": nn.Linear(3, 2)})

    def test_left_out_it_stays(self, module: nn.ModuleDict) -> None:
        before = module["text"].weight.clone()
        given = {f"own.{name}": tensor for name, tensor in tensors().items()}
        load_strictly(module, given, source="file", optional="text.")
        assert torch.equal(module["text"].weight, before)
        assert torch.equal(module["own"].weight, given["own.weight"])

    def test_there_it_is_loaded(self, module: nn.ModuleDict) -> None:
        given = {f"{p}.{name}": t for p in ("own", "text") for name, t in tensors().items()}
        load_strictly(module, given, source="file", optional="text.")
        assert torch.equal(module["text"].weight, given["text.weight"])

    def test_half_of_it_is_refused(self, module: nn.ModuleDict) -> None:
        given = {f"own.{name}": tensor for name, tensor in tensors().items()}
        given["text.weight"] = torch.zeros(2, 3)
        with pytest.raises(CheckpointError, match=r"1 missing: text\.bias;"):
            load_strictly(module, given, source="file", optional="text.")

    def test_two_names_of_one_tensor_need_one_of_them(self, module: nn.ModuleDict) -> None:
        module["text"].register_parameter("again", module["text"].weight)
        given = {f"{p}.{name}": t for p in ("own", "text") for name, t in tensors().items()}
        load_strictly(module, given, source="file", optional="text.")
        assert torch.equal(module["text"].again, given["text.weight"])
