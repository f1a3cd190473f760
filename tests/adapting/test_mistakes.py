"""Adapters that are not there, do not fit or are asked for wrongly: one line each."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.pretrained import StableAudio, load

Write = Callable[..., Path]
WANTED = (
    'a weight, or settings such as {"weight": 0.5, "interval": (1, 80), "layers": [0, 1]}, got '
)
VALUES: list[tuple[Any, str]] = [
    ({"b": 1.0}, "no adapter 'b' is loaded; loaded: 'workshop'"),
    ({"workshops": 1.0}, "no adapter 'workshops' is loaded; loaded: 'workshop'; did you mean "
     '"workshop"?'),
    ({"workshop": math.nan}, "the weight of adapter 'workshop' must be a finite number, got nan"),
    ({"workshop": {"weigth": 1}},
     "the adapter 'workshop' has no setting 'weigth'; did you mean \"weight\"?"),
    ({"workshop": {"x": 1}},
     "the adapter 'workshop' has no setting 'x'; allowed: weight, interval, layers"),
    ({"workshop": {"interval": (3, 1)}}, "the interval of adapter 'workshop' must be (low, high) "
     "in sigma with 0 <= low <= high, got (3, 1)"),
    ({"workshop": {"interval": (-1, 1)}}, "the interval of adapter 'workshop' must be (low, high) "
     "in sigma with 0 <= low <= high, got (-1, 1)"),
    ({"workshop": {"interval": (math.nan, 1)}}, "the interval of adapter 'workshop' must be (low, "
     "high) in sigma with 0 <= low <= high, got (nan, 1)"),
    ({"workshop": {"layers": []}}, "the layers of adapter 'workshop' are an empty list; give at "
     "least one, or a weight of 0"),
    ({"workshop": {"layers": [-1]}},
     "the layers of adapter 'workshop' must be numbers from 0 on, got -1"),
    ({"workshop": {"layers": [0, 2]}}, "the adapter 'workshop' has no block 2; it has 2 layers, "
     "such as blocks.0.self_attention.qkv"),
    ({"workshop": {"layers": ["*.to_kv"]}}, "the adapter 'workshop' has no layer like '*.to_kv'; "
     "it has 2 layers, such as blocks.0.self_attention.qkv"),
]  # fmt: skip
TYPES: list[tuple[Any, str]] = [
    (1.0, f"adapters must be adapters by name, each with {WANTED}1.0 (float)"),
    ({1: 1.0}, "adapters must be a name, got 1 (int)"),
    ({"workshop": None}, f"the adapter 'workshop' must be {WANTED}None (NoneType)"),
    ({"workshop": True}, f"the adapter 'workshop' must be {WANTED}True (bool)"),
    ({"workshop": {"weight": "1"}},
     "the weight of adapter 'workshop' must be a number, got '1' (str)"),
    ({"workshop": {"interval": 3}},
     "the interval of adapter 'workshop' must be a pair of numbers, got 3 (int)"),
    ({"workshop": {"layers": 3}}, "the layers of adapter 'workshop' must be a list of blocks' "
     "numbers and patterns of names, got 3 (int)"),
    ({"workshop": {"layers": [1.5]}}, "the layers of adapter 'workshop' must be numbers of blocks "
     "and patterns of names, got 1.5 (float)"),
]  # fmt: skip


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize(
    ("value", "error", "told"),
    [(value, ValueError, told) for value, told in VALUES]
    + [(value, TypeError, told) for value, told in TYPES],
)
def test_settings_that_cannot_be(
    model: StableAudio, random_adapter: Write, value: Any, error: type[Exception], told: str
) -> None:
    model.load_adapter(random_adapter("*.qkv"), name="workshop", weight=0.5)
    before = model.adapters
    with pytest.raises(error) as caught:
        model.set_adapters(value)
    assert str(caught.value) == told
    assert model.adapters == before
    with pytest.raises(error) as caught:
        model.generate("kick", steps=1, adapters=value, progress=False)
    assert str(caught.value) == told


def test_names_are_taken_once(model: StableAudio, random_adapter: Write) -> None:
    folder = random_adapter(seed=1)
    assert model.load_adapter(folder) == "random_1"
    with pytest.raises(
        ValueError, match=r"^an adapter 'random_1' is loaded already, from .*; give"
    ):
        model.load_adapter(folder)
    assert model.load_adapter(folder, name="again", weight=0.5) == "again"
    assert {name: one["weight"] for name, one in model.adapters.items()} == {
        "random_1": 1.0,
        "again": 0.5,
    }
    with pytest.raises(ValueError, match=r"^no adapter 'other' is loaded; loaded: 'random_1', 'ag"):
        model.unload_adapter("other")


def test_what_cannot_be_loaded_leaves_nothing(
    model: StableAudio, random_adapter: Write, tmp_path: Path, wide_model_folder: Path
) -> None:
    folder = random_adapter("*.qkv")
    with pytest.raises(ValueError, match="the adapter 'a' has no block 7; it has 2 layers, such"):
        model.load_adapter(folder, name="a", layers=[7])
    with pytest.raises(CheckpointError, match=r"holds no adapter_config\.json; give a folder that"):
        model.load_adapter(tmp_path)
    assert model.adapters == {}
    wide = StableAudio.from_pretrained(wide_model_folder, device="cpu")
    with pytest.raises(
        CheckpointError, match=r"was made for another model: blocks\.0\.self_attention"
    ):
        wide.load_adapter(folder)


def test_limits_are_given_when_a_model_is_loaded(
    random_adapter: Write, tiny_model_folder: Path
) -> None:
    folder = random_adapter()
    model = StableAudio.from_pretrained(
        tiny_model_folder,
        device="cpu",
        lora=[(folder, {"interval": (5, 80)}), (folder, 0.25), (folder, {"weight": 0.5})],
    )
    assert model.adapters == {
        "random_0": {"weight": 1.0, "interval": (5.0, 80.0), "layers": None},
        "random_0-2": {"weight": 0.5, "interval": (0.0, math.inf), "layers": None},
    }
    assert model.source is not None
    assert [weight for _, weight, _ in model.source.lora] == [0.25]
    with pytest.raises(
        ValueError, match=rf"^the adapter '{folder}' has no setting 'sigma'; allowed"
    ):
        load(tiny_model_folder, device="cpu", lora=[(folder, {"sigma": (5, 80)})])  # type: ignore[typeddict-unknown-key]
