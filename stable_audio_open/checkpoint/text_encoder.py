"""The files of a text encoder in transformers' layout: of which types, and whether all are used.

transformers converts numbers of any type without a word, and passes over what it does not know.
"""

from pathlib import Path
from typing import Any, NamedTuple

import torch

from stable_audio_open.checkpoint.weights.sharded import files_in, find_weights, read_weights
from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.config.values.json_text import parse_json
from stable_audio_open.nn.weights import type_fault, value_fault

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""transformers reads the first that is there, whatever else lies beside it."""

SETTINGS = ("config.json", "tokenizer_config.json", "special_tokens_map.json")

OTHER_HALF = ("decoder.", "lm_head.")
"""Beginnings of what a whole T5 has besides its encoder."""

PREFIX = "transformer."
"""What classes around a T5 put before its names; transformers takes it away."""


TIED = ("shared.weight", "encoder.embed_tokens.weight")
"""T5's embedding under its two names."""


MOST = {
    "num_layers": 256,
    "d_model": 1 << 16,
    "d_ff": 1 << 20,
    "d_kv": 1 << 14,
    "num_heads": 1 << 12,
    "vocab_size": 1 << 24,
    "relative_attention_num_buckets": 1 << 16,
}
"""Sizes of a T5, far above those of the largest (24, 1024, 65536, 128, 128, 32128 and 32)."""


class TextEncoderFile(NamedTuple):
    """Weights of a T5 encoder."""

    path: Path
    """The file, or the index of its shards."""
    names: tuple[str, ...]
    """Its tensors, without those of a decoder or head."""
    variant: str | None
    """Such as fp16; None for the weights as such."""
    untied: bool
    """Whether its embedding is there twice, with different numbers."""


def read_text_encoder(folder: Path, *, variant: str | None = None) -> TextEncoderFile:
    """Check the files in a folder. Of a whole T5, decoder and head are passed over.

    Args:
        folder: The folder.
        variant: Weights to read where they are there, such as fp16.

    Raises:
        CheckpointError: When there are no weights, or one is of a type that no weights have or not
            finite.
        ValueError: When a file of settings is not one.
    """
    for name in SETTINGS:
        path = folder / name
        if path.is_file() and not isinstance(parse_json(path.read_bytes(), source=str(path)), dict):
            raise CheckpointError(f"{path}: found other JSON than an object")
    check_sizes(folder / "config.json")
    path, found = read_weights(folder, WEIGHTS, variant=variant)
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in found.items()}
    used = {name: tensor for name, tensor in tensors.items() if not name.startswith(OTHER_HALF)}
    fault = type_fault(used, dict.fromkeys(used, torch.empty(0))) or value_fault(used)
    if fault:
        raise CheckpointError(f"{path}: {fault}")
    first, second = (used.get(name) for name in TIED)
    untied = first is not None and second is not None and not torch.equal(first, second)
    chosen = find_weights(files_in(folder), WEIGHTS, variant=variant)
    found_variant = None if chosen is None else chosen.variant
    return TextEncoderFile(path, tuple(used), found_variant, untied=untied)


def check_sizes(path: Path) -> None:
    """Refuse a configuration of a T5 that takes minutes or more memory than there is to build.

    Raises:
        CheckpointError: Naming the size and its limit.
        ConfigError: It is no JSON.
    """
    if not path.is_file():
        return
    settings = parse_json(path.read_bytes(), source=str(path))
    for name, most in MOST.items():
        value = settings.get(name) if isinstance(settings, dict) else None
        if isinstance(value, int | float) and not 0 < value <= most:
            raise CheckpointError(f"{path}: {name} is {value:.6g}; allowed: 1 to {most}")


def check_token_ids(tokenizer: Any, embedding: int) -> None:
    """Refuse a tokenizer that gives numbers of which the encoder has no embedding.

    Args:
        tokenizer: One of transformers'.
        embedding: Tokens that the encoder knows.

    Raises:
        CheckpointError: Naming such a token.
    """
    known = tokenizer.get_vocab()
    # What is put around each text need not be of the vocabulary.
    around = {
        f"around {text!r}": max(tokenizer(text)["input_ids"], default=0) for text in ("", "a")
    }
    token, highest = max((known | around).items(), key=lambda pair: pair[1], default=("", 0))
    if not 0 <= highest < embedding:
        raise CheckpointError(
            f"its tokenizer has the number {highest} (for {token[:100]!r}), and the encoder "
            f"embeds {embedding} tokens; take both from one folder"
        )


def check_all_used(file: TextEncoderFile, encoder: Any) -> None:
    """Refuse a file with tensors that the T5 encoder which was loaded from it does not use.

    Raises:
        CheckpointError: There are some.
    """
    own = encoder.state_dict()
    unused = [name for name in file.names if name not in own]
    if unused:
        more = f" and {len(unused) - 1} more" if unused[1:] else ""
        raise CheckpointError(f"{file.path}: no part of a T5 encoder uses {unused[0]}{more}")
    if file.untied and encoder.config.tie_word_embeddings:
        raise CheckpointError(
            f"{file.path}: {' and '.join(TIED)} differ, and are one tensor by the configuration"
        )
