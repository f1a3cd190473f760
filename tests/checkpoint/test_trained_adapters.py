"""Adapters inside checkpoints of our own training: whole pairs that fit, or refused."""

from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open.checkpoint.lora.merging import merged_state_dict
from stable_audio_open.checkpoint.weights.tensors import CheckpointError

SETTINGS = {"peft_type": "LORA", "r": 2, "lora_alpha": 6}
LAYER = "transformer.blocks.0.expand"
DOWN, UP = (f"{LAYER}.lora_{side}.default.weight" for side in "AB")


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        f"{LAYER}.base_layer.weight": torch.randn(5, 3, generator=generator),
        f"{LAYER}.base_layer.bias": torch.randn(5, generator=generator),
        DOWN: torch.randn(2, 3, generator=generator),
        UP: torch.randn(5, 2, generator=generator),
        "autoencoder.x": torch.randn(4, generator=generator),
    }


def test_the_pair_is_added_and_the_rest_keeps_its_place() -> None:
    given = tensors()
    plain = merged_state_dict(given, SETTINGS, source="last.ckpt")
    assert sorted(plain) == ["autoencoder.x", f"{LAYER}.bias", f"{LAYER}.weight"]
    expected = given[f"{LAYER}.base_layer.weight"] + 3 * given[UP] @ given[DOWN]
    torch.testing.assert_close(plain[f"{LAYER}.weight"], expected)
    assert torch.equal(plain[f"{LAYER}.bias"], given[f"{LAYER}.base_layer.bias"])
    assert plain["autoencoder.x"] is given["autoencoder.x"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({UP: None}, "holds no pairs of lora_A and lora_B weights"),
        ({DOWN: torch.zeros(2, 3).long()}, f"{DOWN} is of the type int64; allowed: "),
        ({UP: torch.full((5, 2), torch.nan)}, f"{UP} holds NaN; allowed: "),
        ({DOWN: torch.zeros(3, 3)}, f"lora_A of {LAYER} is [3, 3]; allowed: [2, inputs]"),
        ({UP: torch.zeros(4, 2)}, f"the adapter of {LAYER} is for a weight of [4, 3], which is "
         "[5, 3]"),
        ({f"{LAYER}.base_layer.weight": None},
         f"the adapter of {LAYER} is for a weight of [5, 3], which is not there"),
        ({f"{LAYER}.lora_B.default.bias": torch.zeros(5)}, "holds 1 tensors that are no lora_A"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(changes: dict[str, Tensor | None], told: str) -> None:
    given = {name: t for name, t in (tensors() | changes).items() if t is not None}
    with pytest.raises(CheckpointError) as caught:
        merged_state_dict(given, SETTINGS, source="last.ckpt")
    assert str(caught.value).startswith(f"last.ckpt: {told}")


@pytest.mark.parametrize("changes", [{"r": 0}, {"lora_alpha": "x"}, {"use_dora": True}])
def test_settings_are_those_of_peft(changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=rf"^last\.ckpt: {next(iter(changes))} is "):
        merged_state_dict(tensors(), SETTINGS | changes, source="last.ckpt")
