"""Weights in one file, in shards, and variants of them."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from stable_audio_open.checkpoint.hub.needed import needed
from stable_audio_open.checkpoint.weights.sharded import Weights, find_weights, read_weights

NAMES = ("model.safetensors", "model.bin")
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ([], None),
        (["other.safetensors", "model.json"], None),
        (["model.bin", "model.safetensors", INDEX], Weights("model.safetensors", (), None)),
        (["model.bin", "model.fp16.safetensors"], Weights("model.bin", (), None)),
        ([SECOND, INDEX, FIRST, "model.bin"], Weights(INDEX, (FIRST, SECOND), None)),
        (["model.fp16.safetensors"], Weights("model.fp16.safetensors", (), "fp16")),
        (["model.fp16.bin"], Weights("model.fp16.bin", (), "fp16")),
        (
            ["model.a.safetensors", "model.bf16.safetensors", "model.fp16.safetensors"],
            Weights("model.fp16.safetensors", (), "fp16"),
        ),
        (["model.b.safetensors", "model.a.bin"], Weights("model.a.bin", (), "a")),
        (
            ["model.safetensors.index.fp16.json", "model.fp16-00001-of-00001.safetensors", FIRST],
            Weights(
                "model.safetensors.index.fp16.json",
                ("model.fp16-00001-of-00001.safetensors",),
                "fp16",
            ),
        ),
        (
            ["model.safetensors.index.fp16.json", "model-00001-of-00001.fp16.safetensors"],
            Weights(
                "model.safetensors.index.fp16.json",
                ("model-00001-of-00001.fp16.safetensors",),
                "fp16",
            ),
        ),
    ],
)
def test_the_file_to_read(files: list[str], found: Weights | None) -> None:
    assert find_weights(files, NAMES) == found


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return {name: torch.full((2,), float(i)) for i, name in enumerate("abcd")}


@pytest.fixture
def folder(tmp_path: Path, tensors: dict[str, Tensor]) -> Path:
    save_file({name: tensors[name] for name in "ab"}, tmp_path / FIRST)
    save_file({name: tensors[name] for name in "cd"}, tmp_path / SECOND)
    places = {"a": FIRST, "b": FIRST, "c": SECOND, "d": SECOND}
    write_index(tmp_path, {"metadata": {"total_size": 32}, "weight_map": places})
    return tmp_path


def write_index(folder: Path, value: object) -> None:
    (folder / INDEX).write_text(json.dumps(value))


def test_shards_are_one_model(folder: Path, tensors: dict[str, Tensor]) -> None:
    path, found = read_weights(folder, NAMES)
    assert path == folder / INDEX
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)


def test_a_variant_is_read(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2, dtype=torch.float16)}, tmp_path / "model.fp16.safetensors")
    path, found = read_weights(tmp_path, NAMES)
    assert path.name == "model.fp16.safetensors"
    assert found["a"].dtype == torch.float16


def refusal(folder: Path) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read_weights(folder, NAMES)
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(folder), "FOLDER")


def test_a_missing_shard_is_named(folder: Path) -> None:
    (folder / SECOND).unlink()
    assert refusal(folder) == f"FOLDER/{SECOND}: no such file"


@pytest.mark.parametrize(("stored", "told"), [("cde", "e"), ("c", "d"), ("acd", "a")])
def test_a_shard_holds_what_the_index_says(folder: Path, stored: str, told: str) -> None:
    save_file({name: torch.ones(1) for name in stored}, folder / SECOND)
    assert refusal(folder) == (
        f"FOLDER/{SECOND}: does not hold the tensors that {INDEX} says, {told} first; copy or "
        "download the folder again"
    )


@pytest.mark.parametrize(
    "value",
    [[], {}, 1, None, "x", True, [1], {"weight_map": None}, {"weight_map": []}, {"weight_map": {}},
     {"weight_map": "x"}],
)  # fmt: skip
def test_an_index_of_any_json_type_gives_one_line(folder: Path, value: object) -> None:
    write_index(folder, value)
    assert refusal(folder).startswith(f"FOLDER/{INDEX}: not an index of weights; allowed: ")


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b'{"weight_map": {"a": 1, "a": 2}}'])
def test_an_index_that_is_no_json_gives_one_line(folder: Path, text: bytes) -> None:
    (folder / INDEX).write_bytes(text)
    assert refusal(folder).startswith(f"FOLDER/{INDEX}: ")


@pytest.mark.parametrize("place", ["../other.safetensors", "/etc/passwd", "", "a/b", None, 1, []])
def test_an_index_does_not_lead_out_of_its_folder(folder: Path, place: object) -> None:
    write_index(folder, {"weight_map": {"a": place}})
    assert refusal(folder).startswith(f"FOLDER/{INDEX}: a is in {str(place)!r}; allowed: a file in")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    told = "found no weights; allowed: model.safetensors or model.bin"
    assert refusal(tmp_path) == f"FOLDER: {told}"
    assert refusal(tmp_path / "none") == f"FOLDER: {told}"


@pytest.mark.parametrize("variant", ["", ".fp16"])
def test_shards_and_variants_are_downloaded_and_nothing_else(variant: str) -> None:
    stem, index = "diffusion_pytorch_model", f".safetensors.index{variant}.json"
    wanted = [
        "model_index.json",
        *(f"{part}/config.json" for part in ("transformer", "vae", "projection_model")),
        f"transformer/{stem}{index}",
        f"transformer/{stem}{variant}-00001-of-00002.safetensors",
        f"transformer/{stem}{variant}-00002-of-00002.safetensors",
        f"vae/{stem}{variant}.safetensors",
        f"projection_model/{stem}{variant}.safetensors",
        "text_encoder/config.json",
        f"text_encoder/model{index}",
        f"text_encoder/model{variant}-00001-of-00001.safetensors",
        "tokenizer/tokenizer.json",
    ]
    others = [
        "README.md",
        f"transformer/{stem}.bin.index.json",
        f"transformer/{stem}-00001-of-00002.bin",
        f"vae/{stem}.bf16.safetensors",
        "text_encoder/pytorch_model.bin.index.json",
        "scheduler/scheduler_config.json",
    ]
    if variant:
        others = [name for name in others if ".bin" not in name]
    assert needed([*others, *wanted], text_encoder=True) == sorted(wanted)
