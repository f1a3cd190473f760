"""Text encoders from a folder or a hub name."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import torch

from stable_audio_open.builders.model import TextEncoder
from stable_audio_open.checkpoint.text_encoder import (
    check_all_used,
    check_sizes,
    check_token_ids,
    read_text_encoder,
)
from stable_audio_open.checkpoint.weights.tensors import refuse_what_is_no_file

T5_VOCABULARY = 32128

T5_SIZES: dict[str, dict[str, Any]] = {
    "t5-small": {"d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "t5-base": {"d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
    "t5-large": {"d_model": 1024, "d_ff": 4096, "num_layers": 24, "num_heads": 16},
}
"""Published sizes, under the hub names with and without `google-t5/`."""


def load_text_encoder(
    source: str | Path, *, tokenizer: str | Path | None = None, variant: str | None = None
) -> TextEncoder:
    """Load a tokenizer and a T5 encoder with transformers, in float32.

    Args:
        source: A folder in transformers' layout, or a hub name such as `t5-base`.
        tokenizer: Where the tokenizer is, if not there.
        variant: Weights of a folder to take where they are there, such as fp16.

    Raises:
        ValueError: When nothing usable is there, a tensor is missing or used by nothing, of a type
            that no weights have, or not finite; says what else can be done.
    """
    from transformers import AutoTokenizer, T5EncoderModel

    name, folder = os.fspath(source), Path(source)
    for place in (source, source if tokenizer is None else tokenizer):
        refuse_what_is_no_file(Path(place))
    try:
        file = read_text_encoder(folder, variant=variant) if folder.is_dir() else None
        with _quiet(bars=not folder.is_dir()):
            tokens: Any = AutoTokenizer.from_pretrained(source if tokenizer is None else tokenizer)
            loaded: Any = T5EncoderModel.from_pretrained(
                source,
                dtype=torch.float32,
                variant=None if file is None else file.variant,
                output_loading_info=True,
            )
    except Exception as error:  # transformers and tokenizers raise anything, plain Exception too
        raise ValueError(_refusal(name, _first_line(error))) from error
    encoder, report = loaded
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        fault = f"{len(missing)} of its tensors are missing, such as {missing[0]}"
        raise ValueError(_refusal(name, fault))
    try:
        check_all_used(file or read_text_encoder(_downloaded(name)), encoder)
        check_token_ids(tokens, encoder.config.vocab_size)
    except ValueError as error:
        raise ValueError(_refusal(name, str(error))) from error
    return TextEncoder(tokens, encoder.eval(), encoder.config.d_model)


def text_encoder_skeleton(name: str | Path) -> TextEncoder:
    """Build a T5 encoder on the meta device, to count its parameters without a download.

    Args:
        name: A published size such as `t5-base`, or a folder with its `config.json`.

    Raises:
        ValueError: When it is neither.
    """
    from transformers import T5Config, T5EncoderModel

    size = T5_SIZES.get(os.fspath(name).removeprefix("google-t5/"))
    if size is not None:
        config = T5Config(vocab_size=T5_VOCABULARY, **size)
    elif (Path(name) / "config.json").is_file():
        check_sizes(Path(name) / "config.json")
        config = T5Config.from_pretrained(name)
    else:
        raise ValueError(
            f"the size of the text encoder {os.fspath(name)!r} is unknown; known are "
            f"{', '.join(T5_SIZES)} and folders that hold a config.json"
        )
    with torch.device("meta"):
        encoder: Any = T5EncoderModel(config)
    return TextEncoder(_no_tokenizer, encoder.eval(), config.d_model)


def _downloaded(name: str) -> Path:
    """Return the folder of the cache that a hub name was just loaded from."""
    from transformers.utils.hub import cached_file

    path = cached_file(name, "config.json", local_files_only=True)
    assert path is not None
    return Path(path).parent


@contextmanager
def _quiet(*, bars: bool) -> Iterator[None]:
    """Hide what transformers reports of a file, which quotes its names as they are.

    Args:
        bars: Show progress, which is of use for downloads alone.
    """
    from transformers.utils import logging

    switch: Any = logging
    shown, level = switch.is_progress_bar_enabled(), switch.get_verbosity()
    switch.set_verbosity(switch.CRITICAL)
    if not bars:
        switch.disable_progress_bar()
    try:
        yield
    finally:
        switch.set_verbosity(level)
        if shown:
            switch.enable_progress_bar()


def _no_tokenizer(text: list[str], **_: Any) -> NoReturn:
    raise ValueError(f"a skeleton has no tokenizer for {text}; load the text encoder itself")


def _refusal(name: str, fault: str) -> str:
    return (
        f"cannot load the text encoder {name!r}: {fault}; pass text_encoder= a folder that holds "
        "a T5 encoder and its tokenizer"
    )


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
