"""Models written into folders and sent to the hub, as `load` and `from_pretrained` read them."""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch
from torch import nn

from stable_audio_open import adapting
from stable_audio_open.arguments.checks import check_name, check_path, wrong_type
from stable_audio_open.checkpoint.hub.card import ModelCard, model_card
from stable_audio_open.checkpoint.hub.push import check_address, open_repository, push_folder
from stable_audio_open.checkpoint.native import (
    CARD,
    WEIGHTS,
    is_written,
    refuse_other_folder,
    save_native,
)
from stable_audio_open.checkpoint.other_config import refuse_beside_other
from stable_audio_open.checkpoint.stored import shard_bytes, stored_dtype, variant_name
from stable_audio_open.checkpoint.weights.sharded import of_other_variants
from stable_audio_open.config.model import ModelConfig
from stable_audio_open.latent_diffusion import LatentDiffusion

PLAIN_CARD = ModelCard()
MESSAGE = "Upload the model"
"""First line of a commit for which no other is given."""


def save_pretrained(
    model: nn.Module,
    folder: str | os.PathLike[str],
    *,
    dtype: str | torch.dtype | None = None,
    variant: str | None = None,
    max_shard_size: int | str | None = None,
    card: ModelCard | None = None,
) -> None:
    """Write a folder that `load` and `from_pretrained` read; a new one appears as a whole.

    The text encoder and its tokenizer are written with the rest of a whole model; adapters that
    take part are merged into the weights that are written.

    Args:
        model: A `StableAudio` or an `AudioAutoencoder`.
        folder: New, empty, or with a model in this library's layout, whose files are
            replaced one by one; files of other names stay, and so do other variants.
        dtype: Type to store the weights in, None for their own, or the one that the variant's name
            says (`fp32`, `fp16`, `bf16`).
        variant: Write `model.fp16.safetensors` for `"fp16"`, which may lie beside other variants
            and the weights as such; `load(..., variant=...)` reads it.
        max_shard_size: Most bytes of weights in a file, such as `"5GB"`; more are written as
            `model-00001-of-00002.safetensors` and so on, with an index. None for one file.
        card: What to say in `README.md` beside what is known of the model; None leaves the one that
            is there, or writes none.

    Raises:
        ValueError: When the weights were rounded for generation (`load` without a `dtype`); the
            folder holds something else, or other variants of another
            configuration; the type is unknown or another one than the variant's; the variant or the
            size is none; measurements cannot be read; or an adapter is limited to an interval of
            noise levels.
    """
    _refuse_rounded(model)
    path, name = Path(check_path(folder, "folder")), variant_name(variant)
    chosen, most = stored_dtype(dtype, name), shard_bytes(max_shard_size)
    text = None
    if card is not None:
        text = _card(card, model, source=path.name, dtype=chosen, variant=name)
    refuse_other_folder(folder, _config(model), variant=name)
    with _merged(model):
        save_native(
            model, _config(model), path, dtype=chosen, variant=name, max_shard_size=most, card=text
        )


def push_to_hub(
    model: nn.Module,
    repo_id: str,
    *,
    dtype: str | torch.dtype | None = None,
    variant: str | None = None,
    max_shard_size: int | str | None = None,
    card: ModelCard | None = None,
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
    commit_message: str | None = None,
) -> str:
    """Send the model to the Hugging Face hub in one commit, and return the commit's address.

    What `save_pretrained` writes goes there, with a card; until it is sent, it lies in a temporary
    folder (`TMPDIR`). Log in with `hf auth login` first, or set `HF_TOKEN`.

    Args:
        model: A `StableAudio` or an `AudioAutoencoder`.
        repo_id: `owner/model`: a new or empty repository, or one with a model in this library's
            layout, whose configuration, text encoder and weights of the same variant are replaced;
            files of other names stay, and so do other variants.
        dtype: Type to store the weights in, as in `save_pretrained`.
        variant: Variant to store them as, as in `save_pretrained`.
        max_shard_size: Most bytes of weights in a file, as in `save_pretrained`.
        card: What to say in the card beside what is known of the model; where None, a card that is
            there stays, and a repository without one gets one.
        private: Whether a new repository is hidden from others; the owner's setting when None.
        revision: Branch, made where it is missing; None for the main one.
        token: Token of the hub; None for that of the login.
        commit_message: First line of the commit.

    Raises:
        ValueError: One line: nobody is logged in, no right to write, no connection, the repository
            holds something else or was changed meanwhile; or for the reasons of `save_pretrained`.
    """
    _refuse_rounded(model)
    check_address(repo_id, private=private, revision=revision, token=token)
    if commit_message is not None:
        check_name(commit_message, "commit_message")
    name = variant_name(variant)
    chosen, most = stored_dtype(dtype, name), shard_bytes(max_shard_size)
    text: str | None = _card(
        PLAIN_CARD if card is None else card, model, source=repo_id, dtype=chosen, variant=name
    )
    repository = open_repository(repo_id, private=private, revision=revision, token=token)
    if repository.config is not None:
        staying = of_other_variants(repository.files, WEIGHTS, name)
        refuse_beside_other(_config(model), repository.config, staying, source=repo_id)
    if card is None and CARD in repository.files:
        text = None
    with TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        with _merged(model):
            save_native(
                model,
                _config(model),
                folder,
                dtype=chosen,
                variant=name,
                max_shard_size=most,
                card=text,
            )
        return push_folder(
            folder,
            repository,
            message=commit_message or MESSAGE,
            replaced=lambda path: is_written(path, name),
        )


def _refuse_rounded(model: nn.Module) -> None:
    if getattr(model, "rounded", False):
        assert isinstance(model, LatentDiffusion)
        raise ValueError(
            f"the model was loaded for generation, in {model.precision}, which is not what its "
            "checkpoint holds; to save it, load it with dtype='float32'"
        )


def _merged(model: nn.Module) -> AbstractContextManager[None]:
    """Have adapters that take part in the weights."""
    return adapting.merged(model) if isinstance(model, LatentDiffusion) else nullcontext()


def _config(model: nn.Module) -> ModelConfig:
    return cast(ModelConfig, model.config)


def _card(
    card: ModelCard,
    model: nn.Module,
    *,
    source: str,
    dtype: torch.dtype | None,
    variant: str | None,
) -> str:
    if not isinstance(card, ModelCard):
        raise wrong_type(card, "card", "a ModelCard")
    return model_card(card, model, _config(model), source=source, dtype=dtype, variant=variant)
