"""Models from wherever they are: bundled, on disk in several layouts, or on the hub."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Literal, overload

import torch
from torch import nn

from stable_audio_open import adapting, pretrained_saving, prompted
from stable_audio_open.arguments.checks import (
    check_flag,
    check_path,
    wrong_type,
)
from stable_audio_open.builders.model import (
    TextEncoder,
    build_conditioner,
    build_timestep_shift,
    build_transformer,
    text_config,
)
from stable_audio_open.builders.precision import cast_parts, dtype_of_part
from stable_audio_open.builders.text_encoder import load_text_encoder
from stable_audio_open.checkpoint.layouts import read_checkpoint
from stable_audio_open.checkpoint.locate import locate
from stable_audio_open.checkpoint.lora.adapter import adapter_hash, read_adapter
from stable_audio_open.checkpoint.lora.merging import merge_adapters
from stable_audio_open.checkpoint.native import TEXT_ENCODER_FOLDER
from stable_audio_open.checkpoint.source import TEXT_ENCODER, Checkpoint
from stable_audio_open.checkpoint.weights.precision import cast, dtype_by_name, find_precision
from stable_audio_open.checkpoint.weights.strict import load_strictly
from stable_audio_open.conditioning.conditioner import Conditioner
from stable_audio_open.conditioning.text import Tokenizer
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.editing import generate as any_length
from stable_audio_open.editing import inpainting, interpolation
from stable_audio_open.editing import stream as streaming
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.attention import check_backend
from stable_audio_open.nn.device import find_device
from stable_audio_open.pretrained_autoencoder import (
    AudioAutoencoder,
    Source,
    public_autoencoder,
    read_autoencoder,
)
from stable_audio_open.recorded.making import Source as ModelSource
from stable_audio_open.recorded.recorded import recorded
from stable_audio_open.request.given_adapters import AdapterOptions

TextEncoderSource = Source | tuple[Tokenizer, nn.Module]
GivenLora = tuple[Source, float] | tuple[Source, AdapterOptions]
"""An adapter's folder with a weight, to be merged, or with settings, to be kept apart."""


class StableAudio(LatentDiffusion):
    """Text to audio: the three parts of a trained system, and its configuration.

    Args:
        config: What the parts were built from.
        autoencoder: Waveform to latents and back.
        conditioner: Prompts and seconds to conditioning.
        transformer: Latents and conditioning to velocity.
    """

    autoencoder: AudioAutoencoder

    def __init__(
        self,
        *,
        config: DiffusionModelConfig,
        autoencoder: AudioAutoencoder,
        conditioner: Conditioner,
        transformer: DiffusionTransformer,
    ) -> None:
        super().__init__(
            autoencoder=autoencoder,
            conditioner=conditioner,
            transformer=transformer,
            window_samples=config.window_samples,
            objective=config.objective,
            timestep_shift=build_timestep_shift(config.timestep_shift),
        )
        self.config = config
        self.source: ModelSource | None = None
        """What it was loaded from; None where it was built in memory."""
        self.rounded = False
        """Whether weights were rounded to half precision without being asked for."""

    @classmethod
    def from_pretrained(
        cls,
        source: Source,
        *,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        text_encoder: TextEncoderSource | None = None,
        use_ema: bool = True,
        attention: str = "sdpa",
        lora: Sequence[GivenLora] = (),
        variant: str | None = None,
        revision: str | None = None,
    ) -> "StableAudio":
        """Load a whole model; the arguments are those of `load`.

        Raises:
            ValueError: When the source is an autoencoder alone, or for the reasons of `load`.
        """
        model = load(
            source,
            device=device,
            dtype=dtype,
            text_encoder=text_encoder,
            use_ema=use_ema,
            attention=attention,
            lora=lora,
            variant=variant,
            revision=revision,
        )
        if not isinstance(model, StableAudio):
            raise ValueError(
                f"{source} is an autoencoder alone; load it with stable_audio_open.load_autoencoder"
            )
        return model

    def train(self, mode: bool = True) -> "StableAudio":
        """Set the mode of training, or of evaluation.

        Args:
            mode: Whether it is that of training.

        Raises:
            ValueError: The weights were rounded for generation, and training would lose them.
        """
        if mode and self.rounded:
            raise ValueError(
                f"the model was loaded for generation, in {self.precision}; to train it, load it "
                "with dtype='float32'"
            )
        super().train(mode)
        return self

    load_adapter = adapting.load_adapter
    set_adapters = adapting.set_adapters
    unload_adapter = adapting.unload_adapter

    @property
    def adapters(self) -> dict[str, AdapterOptions]:
        """Every adapter that is loaded, and how it takes part, as `set_adapters` takes it."""
        return adapting.adapters(self)

    generate = recorded(any_length.generate)
    inpaint = recorded(inpainting.inpaint)
    extend = recorded(inpainting.extend)
    interpolate = recorded(interpolation.interpolate, prompts=interpolation.prompts_on_the_way)
    stream = streaming.stream
    denoiser = prompted.denoiser
    sigmas = prompted.sigmas
    noise = prompted.noise
    save_pretrained = pretrained_saving.save_pretrained
    push_to_hub = pretrained_saving.push_to_hub


@overload
def load(
    source: Literal["tiny"],
    *,
    device: str | torch.device | None = ...,
    dtype: str | torch.dtype | None = ...,
    text_encoder: TextEncoderSource | None = ...,
    use_ema: bool = ...,
    attention: str = ...,
    lora: Sequence[GivenLora] = ...,
    variant: str | None = ...,
    revision: str | None = ...,
) -> StableAudio: ...


@overload
def load(
    source: Source,
    *,
    device: str | torch.device | None = ...,
    dtype: str | torch.dtype | None = ...,
    text_encoder: TextEncoderSource | None = ...,
    use_ema: bool = ...,
    attention: str = ...,
    lora: Sequence[GivenLora] = ...,
    variant: str | None = ...,
    revision: str | None = ...,
) -> StableAudio | AudioAutoencoder: ...


def load(
    source: Source,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    text_encoder: TextEncoderSource | None = None,
    use_ema: bool = True,
    attention: str = "sdpa",
    lora: Sequence[GivenLora] = (),
    variant: str | None = None,
    revision: str | None = None,
) -> StableAudio | AudioAutoencoder:
    """Load a trained model, in evaluation mode.

    Where the kind of model is known, `StableAudio.from_pretrained` and `load_autoencoder` return
    it by name.

    Args:
        source: `"tiny"` (bundled), a folder or file, or a hub name such as
            `stabilityai/stable-audio-open-1.0`. Native, stable-audio-tools and diffusers layouts
            are identified by their files; a lone autoencoder gives an `AudioAutoencoder`.
        device: Where to; when None or "auto" a CUDA device if there is one, else MPS, else the CPU.
        dtype: Type of the weights, float32 when None. "auto", as commands that make sounds take it,
            is the fast one for generating: bfloat16 for the transformer and the text encoder on
            CUDA devices of compute capability 8.0 or more and on CPUs with AVX512-BF16 or AMX;
            float32 elsewhere, and for the autoencoder, in which rounding is heard. What it rounded
            is neither trained nor saved. A name is for all but the text encoder;
            `"transformer=bfloat16,autoencoder=float16,text_encoder=float32"` tells them apart.
            Frequencies stay at least in float32.
        text_encoder: A folder or hub name of a T5 encoder with its tokenizer, or the pair
            (tokenizer, encoder) itself; by default the one that came with the weights, else the
            one that the configuration names.
        use_ema: Take the averaged weights of a training checkpoint where it has any.
        attention: `"sdpa"` (PyTorch's fused attention), `"flash"` (the flash-attn package where
            the tensors allow it) or `"math"` (the formula written out, as a reference).
        lora: Adapters of the transformer: folders in peft's format, each with a weight (1 for its
            full effect), to be merged, or with settings, `{"weight": 0.5, "interval": (1, 80)}`, to
            be kept apart as by `load_adapter`.
        variant: Weights to read of a folder or hub name that has several, such as `"fp16"`
            (`model.fp16.safetensors`), in whatever type; None for the weights as such where they
            are there. Of the hub, no other is fetched.
        revision: Branch, tag or commit of a hub name; None for the main branch.

    Raises:
        ValueError: One line with the fault and the remedy: an unknown source, device, type, variant
            or revision, a damaged file, weights that do not fit the configuration, no text encoder.
    """
    device = find_device(device)
    precision = find_precision(dtype, device)
    backend = check_backend(attention)
    check_flag(use_ema, "use_ema")
    if isinstance(text_encoder, tuple):
        if len(text_encoder) != 2 or not isinstance(text_encoder[1], nn.Module):
            raise wrong_type(text_encoder, "text_encoder", "a path or (tokenizer, encoder)")
    elif text_encoder is not None:
        check_path(text_encoder, "text_encoder")
    merged, limited = adapting.split_lora(lora)
    path = locate(source, text_encoder=text_encoder is None, variant=variant, revision=revision)
    checkpoint = read_checkpoint(path, use_ema=use_ema, variant=variant)
    config = checkpoint.config
    if isinstance(config, AutoencoderModelConfig):
        if merged or limited:
            raise ValueError(f"{source} is an autoencoder alone; adapters are for a whole model")
        return read_autoencoder(checkpoint, device, precision.autoencoder)
    text = _text_encoder(text_encoder, checkpoint, config, variant=variant)
    if precision.text_encoder is not None and not isinstance(text_encoder, tuple):
        cast(text.encoder, precision.text_encoder)
    with torch.device("meta"):
        model = StableAudio(
            config=config,
            autoencoder=public_autoencoder(config),
            conditioner=build_conditioner(config.conditioning, text_encoder=text),
            transformer=build_transformer(config.transformer),
        )
    load_strictly(
        model,
        checkpoint.tensors,
        source=str(checkpoint.path),
        keys=checkpoint.keys,
        optional=TEXT_ENCODER,
        # What is merged is merged before it is rounded.
        dtype_of=None if merged else dtype_by_name(model, partial(dtype_of_part, precision)),
    )
    merge_adapters(model.transformer, [(read_adapter(folder), weight) for folder, weight in merged])
    cast_parts(model, precision)
    model.transformer.set_backend(backend)
    model.rounded = precision.rounded
    model.source = ModelSource(
        name=os.fspath(source),
        use_ema=use_ema,
        text_encoder=None if isinstance(text_encoder, tuple | None) else os.fspath(text_encoder),
        attention=attention,
        lora=tuple((folder, weight, adapter_hash(folder)) for folder, weight in merged),
        variant=variant,
        revision=revision,
    )
    for folder, settings in limited:
        adapting.load_limited(model, folder, settings)
    return model.to(device).eval()


def _text_encoder(
    given: TextEncoderSource | None,
    checkpoint: Checkpoint,
    config: DiffusionModelConfig,
    *,
    variant: str | None,
) -> TextEncoder:
    if isinstance(given, tuple):
        tokenizer, encoder = given
        return TextEncoder(tokenizer, encoder, encoder.config.d_model)  # type: ignore[union-attr,arg-type]
    if given is not None:
        return load_text_encoder(os.fspath(given))
    if checkpoint.text_encoder is not None:
        return load_text_encoder(
            checkpoint.text_encoder, tokenizer=checkpoint.tokenizer, variant=variant
        )
    name = text_config(config).model
    beside = checkpoint.path.parent / name
    if name == TEXT_ENCODER_FOLDER and not beside.is_dir():
        raise ValueError(
            f"{checkpoint.path}: found no folder {name!r} beside it; pass text_encoder= a "
            "folder or hub name of the T5 encoder that it was trained with"
        )
    return (
        load_text_encoder(beside, variant=variant) if beside.is_dir() else load_text_encoder(name)
    )
