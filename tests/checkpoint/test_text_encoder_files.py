"""Files of text encoders: every tensor is used, of a type that weights have, and finite."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import T5Config, T5EncoderModel, T5ForConditionalGeneration
from transformers.utils import logging as transformers_logging

from stable_audio_open.builders.text_encoder import load_text_encoder, text_encoder_skeleton

NORM = "encoder.final_layer_norm.weight"


@pytest.fixture
def folder(tiny_model_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_model_folder / "text_encoder", tmp_path / "encoder"))


def put(folder: Path, changes: dict[str, Tensor]) -> None:
    path = folder / "model.safetensors"
    save_file(load_file(path) | changes, path, metadata={"format": "pt"})


def refusal(folder: Path) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        load_text_encoder(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"cannot load the text encoder '{folder}': ")
    assert message.endswith(
        "; pass text_encoder= a folder that holds a T5 encoder and its tokenizer"
    )
    return message.replace(str(folder), "FOLDER")


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (torch.ones(24, dtype=torch.int8), "is of the type int8"),
        (torch.ones(24, dtype=torch.int64), "is of the type int64"),
        (torch.ones(24, dtype=torch.bool), "is of the type bool"),
        (torch.ones(24, dtype=torch.complex64), "is of the type complex64"),
        (torch.full((24,), torch.nan), "holds NaN"),
        (torch.full((24,), -torch.inf), "holds infinity"),
    ],
)
def test_what_is_no_weight_is_refused(folder: Path, tensor: Tensor, told: str) -> None:
    put(folder, {NORM: tensor})
    assert f"FOLDER/model.safetensors: {NORM} {told}; allowed: " in refusal(folder)


@pytest.mark.parametrize("name", ["encoder.block.7.x", "shared.bias", "my_decoder.weight", "x"])
def test_tensors_that_nothing_uses_are_refused(folder: Path, name: str) -> None:
    put(folder, {name: torch.ones(2)})
    told = f"FOLDER/model.safetensors: no part of a T5 encoder uses {name};"
    assert told in refusal(folder)


def test_two_tensors_for_one_place_are_refused(folder: Path) -> None:
    shared = load_file(folder / "model.safetensors")["shared.weight"]
    put(folder, {"encoder.embed_tokens.weight": shared.clone()})
    load_text_encoder(folder)
    put(folder, {"encoder.embed_tokens.weight": shared + 1})
    assert "shared.weight and encoder.embed_tokens.weight differ" in refusal(folder)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_read(folder: Path, dtype: torch.dtype) -> None:
    tensors = load_file(folder / "model.safetensors")
    put(folder, {name: tensor.to(dtype) for name, tensor in tensors.items()})
    encoder: Any = load_text_encoder(folder).encoder
    torch.testing.assert_close(
        encoder.shared.weight.data, tensors["shared.weight"].to(dtype).float()
    )


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("way", ["safetensors", "shards", "bin", "variant"])
def test_a_whole_t5_with_decoder_and_head_is_read(folder: Path, tied: bool, way: str) -> None:
    """As t5-base is published (its head is its embedding), and as flan-t5 (it is not)."""
    config = T5Config.from_pretrained(folder)
    config.tie_word_embeddings, config.decoder_start_token_id = tied, 0
    with torch.random.fork_rng():
        torch.manual_seed(0)
        whole: Any = T5ForConditionalGeneration(config)
    with torch.no_grad():
        for stack in (whole.encoder, whole.decoder):
            stack.embed_tokens.weight.copy_(whole.shared.weight)
    (folder / "model.safetensors").unlink()
    match way:
        case "shards":
            whole.save_pretrained(folder, max_shard_size="5KB")
            assert not (folder / "model.safetensors").exists()
        case "bin":
            whole.config.save_pretrained(folder)
            torch.save(whole.state_dict(), folder / "pytorch_model.bin")
        case "variant":
            whole.save_pretrained(folder, variant="fp16")
            assert (folder / "model.fp16.safetensors").exists()
        case _:
            whole.save_pretrained(folder)
    encoder: Any = load_text_encoder(folder).encoder
    assert isinstance(encoder, T5EncoderModel)
    for name, tensor in encoder.state_dict().items():
        assert torch.equal(tensor, whole.state_dict()[name]), name


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
@pytest.mark.parametrize("value", [[], 1, None, "x", True])
def test_settings_of_any_json_type_give_one_line(folder: Path, name: str, value: object) -> None:
    (folder / name).write_text(json.dumps(value))
    assert f"FOLDER/{name}: found other JSON than an object;" in refusal(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"\x1b[31mred\x1b]0;title\x07": torch.ones(2)},
        {NORM: torch.ones(25)},
        {f"encoder.block.{number}.x": torch.ones(2) for number in range(20)},
    ],
)
def test_transformers_tells_nothing_of_its_own(
    folder: Path, changes: dict[str, Tensor], capfd: pytest.CaptureFixture[str]
) -> None:
    """Its report has a line for each tensor, and their names as they are."""
    put(folder, changes)
    refusal(folder)
    assert capfd.readouterr() == ("", "")
    assert transformers_logging.get_verbosity() == transformers_logging.WARNING


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("num_layers", 1_000_000, "num_layers is 1e+06; allowed: 1 to 256"),
        ("num_layers", 10**30, "num_layers is 1e+30; allowed: 1 to 256"),
        ("num_layers", 0, "num_layers is 0; allowed: 1 to 256"),
        ("d_model", 2**40, "d_model is 1.09951e+12; allowed: 1 to 65536"),
        ("d_ff", 2**40, "d_ff is 1.09951e+12; allowed: 1 to 1048576"),
        ("vocab_size", 2**40, "vocab_size is 1.09951e+12; allowed: 1 to 16777216"),
        ("num_heads", -1, "num_heads is -1; allowed: 1 to 4096"),
    ],
)
def test_sizes_have_limits(folder: Path, name: str, value: int, told: str) -> None:
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {name: value}))
    assert f"FOLDER/config.json: {told};" in refusal(folder)
    with pytest.raises(ValueError, match=re.escape(told)):
        text_encoder_skeleton(folder)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["vocabulary", "added", "around"])
def test_tokens_without_an_embedding_are_refused(folder: Path, place: str) -> None:
    """They would end a generation with an IndexError."""
    path = folder / "tokenizer.json"
    file = json.loads(path.read_text())
    match place:
        case "vocabulary":
            number = len(file["model"]["vocab"])
            file["model"]["vocab"] += [[f"new{i}", 0.0] for i in range(100_000 - number)]
            number, token = 99_999, "new"
        case "added":
            number, token = 100_000, "<new>"
            flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
            entry = {"id": number, "content": token, **dict.fromkeys(flags, False)}
            file["added_tokens"].append(entry)
            file["model"]["vocab"] += [
                [f"new{i}", 0.0] for i in range(number - len(file["model"]["vocab"]))
            ]
        case _:
            number, token = 100_000, "around"
            [special] = file["post_processor"]["special_tokens"].values()
            special["ids"] = [number]
    path.write_text(json.dumps(file))
    told = refusal(folder)
    assert f"its tokenizer has the number {number} (for {token!r}"[:-1] in told.replace('"', "'")
    assert "tokens; take both from one folder;" in told
