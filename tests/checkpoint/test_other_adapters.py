"""Adapters of other programs than peft: refused by what their files say of themselves."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from stable_audio_open.checkpoint.lora.adapter import read_adapter
from stable_audio_open.checkpoint.weights.tensors import CheckpointError


@pytest.mark.parametrize("in_folder", [False, True])
@pytest.mark.parametrize(
    ("metadata", "name", "told"),
    [
        ({"lora_config": '{"rank": 8,\n "kind": "x"}'}, "a.weight",
         'lora_config {"rank": 8, "kind": "x"}'),
        ({"lora_config": "x" * 200}, "a.weight", f"lora_config {'x' * 79}…"),
        (None, "a.parametrizations.weight.0.lora_A",
         "a tensor a.parametrizations.weight.0.lora_A"),
    ],
)  # fmt: skip
def test_adapters_of_the_newer_platform_are_named(
    tmp_path: Path, metadata: dict[str, str] | None, name: str, told: str, in_folder: bool
) -> None:
    path = tmp_path / "lora.safetensors"
    save_file({name: torch.zeros(2, 2)}, path, metadata=metadata)
    with pytest.raises(CheckpointError) as caught:
        read_adapter(tmp_path if in_folder else path)
    assert str(caught.value) == (
        f"{path}: is an adapter of the authors' newer platform ({told}), a kind that is not "
        "supported; allowed: a folder in peft's format"
    )


def test_a_file_is_no_adapter(tmp_path: Path) -> None:
    save_file({"a.lora_A.weight": torch.zeros(2, 2)}, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text("{}")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        with pytest.raises(CheckpointError) as caught:
            read_adapter(tmp_path / name)
        assert str(caught.value) == (
            f"{tmp_path / name}: is a file; allowed: a folder in peft's format, with its "
            "adapter_config.json"
        )
    (tmp_path / "last.ckpt").write_bytes(b"")
    with pytest.raises(
        CheckpointError, match=r"adapter_config\.json; write one by export --to lora$"
    ):
        read_adapter(tmp_path / "last.ckpt")
