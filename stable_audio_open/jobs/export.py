"""A checkpoint of any layout written as a folder of another, or sent to the hub."""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Literal, NamedTuple

import msgspec
import torch

from stable_audio_open.audio.writing.places import check_folder
from stable_audio_open.autoencoder.second_phase import take_decoder
from stable_audio_open.checkpoint.export import save_diffusers, save_stable_audio_tools
from stable_audio_open.checkpoint.hub.card import ModelCard, model_card
from stable_audio_open.checkpoint.hub.push import open_repository, push_folder
from stable_audio_open.checkpoint.lora.adapter import read_trained_adapter, save_adapter
from stable_audio_open.checkpoint.native import CARD, save_native
from stable_audio_open.checkpoint.stored import shard_bytes, stored_dtype, variant_name
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.pretrained_autoencoder import AudioAutoencoder
from stable_audio_open.pretrained_saving import MESSAGE, push_to_hub

Layout = Literal["native", "stable-audio-tools", "diffusers", "lora"]

OTHER_LAYOUTS: Mapping[str, Callable[..., None]] = MappingProxyType(
    {"stable-audio-tools": save_stable_audio_tools, "diffusers": save_diffusers}
)


class ExportRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is exported, and where to: a folder, or a repository on the hub."""

    checkpoint: str
    """As `load` takes it."""
    output: Path | None = None
    """Folder to write; made where it is missing."""
    push: str | None = None
    """Repository on the hub, `owner/model`."""
    to: Layout = "native"
    """Layout to write; `lora` is the adapter alone, in peft's format."""
    dtype: str | None = None
    """Type of the stored weights; the variant's or float32 when None."""
    variant: str | None = None
    """Variant that the weights are stored as, in the native layout."""
    max_shard_size: str | None = None
    """Most bytes of weights in a file, in the native layout; one file when None."""
    use_ema: bool = True
    """Take the averaged weights of a training checkpoint where it has any."""
    decoder: str | None = None
    """Autoencoder to take the decoder of."""
    text_encoder: str | None = None
    """Folder or hub name of a T5 encoder, as `load` takes it."""
    card: ModelCard | None = None
    """What to say in the card; where None, only a repository without one gets one."""
    private: bool | None = None
    """Whether a new repository is hidden from others; the owner's setting when None."""
    branch: str | None = None
    """Branch of the repository; the main one when None."""


class Exported(NamedTuple):
    """Where a model was written."""

    place: str
    """The folder, or the address of the commit."""
    size: int | None
    """Bytes in the folder; None on the hub."""


def export(request: ExportRequest) -> Exported:
    """Write a model as a folder or a commit on the hub.

    Raises:
        ValueError: What is asked for does not go together, the model cannot be read or written in
            that layout, or the hub refuses.
    """
    output = request.output
    if (output is None) == (request.push is None):
        raise ValueError("give either --output, a folder to write, or --push, a name on the hub")
    if output is not None:
        check_folder(output)
        if request.private is not None or request.branch is not None:
            raise ValueError(
                "--private and --branch are of the hub; leave them out, or give --push"
            )
    if request.to != "native" and (request.variant or request.max_shard_size):
        raise ValueError(
            "--variant and --max-shard-size are of the layout native; leave them out, or "
            f"--to {request.to}"
        )
    if request.to == "lora":
        return _export_adapter(request, output)
    shard_bytes(request.max_shard_size)
    dtype = stored_dtype(request.dtype, variant_name(request.variant)) or torch.float32
    model = _load(request)
    if request.push is not None:
        return Exported(_push(request, model, request.push, dtype), None)
    assert output is not None
    text = None
    if request.card is not None:
        text = _card(request, request.card, model, source=output.resolve().name, dtype=dtype)
    if request.to == "native":
        save_native(
            model,
            model.config,
            output,
            dtype=dtype,
            variant=request.variant,
            max_shard_size=shard_bytes(request.max_shard_size),
            card=text,
        )
    else:
        OTHER_LAYOUTS[request.to](model, model.config, output, dtype=dtype)
        if text is not None:
            replace_bytes(output / CARD, text.encode())
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    return Exported(str(output), size)


def _export_adapter(request: ExportRequest, output: Path | None) -> Exported:
    """Write the adapter that a training left."""
    if request.decoder is not None:
        raise ValueError("an adapter has no decoder; leave out --decoder, or --to lora")
    if output is None or request.card is not None:
        raise ValueError(
            "an adapter is written to a folder, without a card; give --output, and send the folder "
            "with `hf upload`"
        )
    save_adapter(read_trained_adapter(Path(request.checkpoint), use_ema=request.use_ema), output)
    return Exported(str(output), None)


def _load(request: ExportRequest) -> StableAudio | AudioAutoencoder:
    """Load the model, with the decoder that was asked for."""

    def loaded(source: str) -> StableAudio | AudioAutoencoder:
        return load(
            source,
            device="cpu",
            dtype="float32",
            text_encoder=request.text_encoder,
            use_ema=request.use_ema,
        )

    def autoencoder(model: StableAudio | AudioAutoencoder) -> AudioAutoencoder:
        return model if isinstance(model, AudioAutoencoder) else model.autoencoder

    model = loaded(request.checkpoint)
    if request.decoder is not None:
        take_decoder(autoencoder(model), autoencoder(loaded(request.decoder)))
    return model


def _push(
    request: ExportRequest, model: StableAudio | AudioAutoencoder, name: str, dtype: torch.dtype
) -> str:
    """Send the model to the hub, and return the address of the commit."""
    if request.to == "native":
        return push_to_hub(
            model,
            name,
            dtype=dtype,
            variant=request.variant,
            max_shard_size=request.max_shard_size,
            card=request.card,
            private=request.private,
            revision=request.branch,
        )
    card = ModelCard() if request.card is None else request.card
    text = _card(request, card, model, source=name, dtype=dtype)
    repository = open_repository(
        name, layout=request.to, private=request.private, revision=request.branch
    )
    with TemporaryDirectory() as scratch:
        folder = Path(scratch, "model")
        OTHER_LAYOUTS[request.to](model, model.config, folder, dtype=dtype)
        if request.card is not None or CARD not in repository.files:
            replace_bytes(folder / CARD, text.encode())
        return push_folder(folder, repository, message=MESSAGE)


def _card(
    request: ExportRequest,
    card: ModelCard,
    model: StableAudio | AudioAutoencoder,
    *,
    source: str,
    dtype: torch.dtype,
) -> str:
    return model_card(
        card, model, model.config, source=source, dtype=dtype, variant=request.variant
    )
