"""The parts that diffusers has too, on the same random weights.

diffusers makes the weights; the key map of `checkpoint/diffusers/layout.py` carries them over.
"""

import importlib
import warnings
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.model import build_transformer, text_config
from stable_audio_open.checkpoint.diffusers.layout import autoencoder_keys, transformer_keys
from stable_audio_open.checkpoint.weights.key_map import KeyMap
from stable_audio_open.checkpoint.weights.precision import cast
from stable_audio_open.checkpoint.weights.strict import load_strictly
from stable_audio_open.conditions import Conditioning
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.transformer import TransformerConfig
from stable_audio_open.diffusion.conditioned import ConditionedTransformer
from stable_audio_open.diffusion.guidance import GuidedVelocity

GUIDANCE_SCALE = 7.0
# Exact in bfloat16, into which diffusers rounds it.
TIME = 0.75
# Rows of the prompt that are not padding.
WORDS = 12


class StepPeers:
    """One sampling step with guidance: the transformer on a doubled batch, and the combination.

    diffusers is called as its pipeline does at every step; this package as `generate` does, which
    has done what no step changes before the first one.
    """

    name = "step"
    unit = "steps/s"
    amount = 1.0

    def __init__(
        self, config: DiffusionModelConfig, *, frames: int, device: torch.device, seed: int
    ) -> None:
        part = config.transformer
        self.frames = frames
        self.theirs = _diffusers_transformer(part, frames=frames, device=device, seed=seed)
        with torch.device("meta"):
            self.mine = build_transformer(part)
        _carry_over(self.theirs, self.mine, transformer_keys(part), device)
        random = torch.Generator().manual_seed(seed)
        tokens = text_config(config).max_length + len(config.conditioning.cross_attention) - 1
        cross = torch.randn((1, tokens, part.context_width), generator=random)
        cross[:, WORDS : text_config(config).max_length] = 0
        self._inputs = [
            tensor.to(device)
            for tensor in (
                torch.randn((1, part.latent_channels, frames), generator=random),
                cross,
                torch.randn((1, part.global_width), generator=random),
            )
        ]
        self._time = torch.tensor(TIME, device=device)
        self._rotary = _diffusers_rotary(part, frames)
        self.shape = f"batch 2 x {frames} frames, {tokens} context tokens, depth {part.depth}"
        self.parameters = sum(parameter.numel() for parameter in self.mine.parameters())

    def cast(self, dtype: torch.dtype) -> None:
        """Convert both transformers, and do the work that comes before the first step."""
        cast(self.mine, dtype)
        self.theirs.to(dtype)
        x, cross, global_ = self._inputs
        self._x = x
        with torch.inference_mode():
            bound = ConditionedTransformer(
                self.mine,
                Conditioning(cross=cross.to(dtype), global_=global_.to(dtype)),
                negative=None,
                times=[TIME],
                frames=self.frames,
            )
        self._guided = GuidedVelocity(
            pair=bound.pair, conditional=bound.conditional, scale=GUIDANCE_SCALE
        )
        self._latents = x.to(dtype)
        self._context = torch.cat([torch.zeros_like(cross), cross]).to(dtype)
        self._global = torch.cat([global_, global_])[:, None].to(dtype)

    @torch.inference_mode()
    def ours(self) -> Tensor:
        """Return the guided velocity."""
        return self._guided(self._x, TIME)

    @torch.no_grad()
    def diffusers(self) -> Tensor:
        """Return the guided velocity."""
        predicted = self.theirs(
            torch.cat([self._latents] * 2),
            self._time.unsqueeze(0),
            encoder_hidden_states=self._context,
            global_hidden_states=self._global,
            rotary_embedding=self._rotary,
            return_dict=False,
        )[0]
        null, conditional = predicted.chunk(2)
        guided: Tensor = null + GUIDANCE_SCALE * (conditional - null)
        return guided


class _AutoencoderPeers(ABC):
    unit = "x real time"

    def __init__(
        self, config: DiffusionModelConfig, *, frames: int, device: torch.device, seed: int
    ) -> None:
        self.theirs = _diffusers_autoencoder(config, device=device, seed=seed)
        with torch.device("meta"):
            self.mine: AudioAutoencoder = build_autoencoder(config)
        _carry_over(self.theirs, self.mine, autoencoder_keys(config.autoencoder), device)
        self.amount = frames * self.mine.downsampling / self.mine.sample_rate
        self.shape = f"{frames} frames, {self.amount:.2f} s of audio"
        self._random = torch.Generator().manual_seed(seed)
        self._input = self._draw(frames).to(device)
        self._used = self._input

    @abstractmethod
    def _draw(self, frames: int) -> Tensor:
        """Return an input of that many frames."""

    def cast(self, dtype: torch.dtype) -> None:
        """Convert both autoencoders and their input."""
        cast(self.mine, dtype)
        self.theirs.to(dtype)
        self._used = self._input.to(dtype)


class DecodePeers(_AutoencoderPeers):
    """Latents to waveform; here in chunks, as `generate` does, in diffusers whole."""

    name = "decode"

    def _draw(self, frames: int) -> Tensor:
        return torch.randn((1, self.mine.latent_channels, frames), generator=self._random)

    @property
    def parameters(self) -> int:
        """Numbers of the decoder."""
        return sum(parameter.numel() for parameter in self.mine.decoder.parameters())

    @torch.inference_mode()
    def ours(self) -> Tensor:
        """Return the waveform."""
        return self.mine.decode(self._used)

    @torch.no_grad()
    def diffusers(self) -> Tensor:
        """Return the waveform."""
        waveform: Tensor = self.theirs.decode(self._used).sample
        return waveform


class EncodePeers(_AutoencoderPeers):
    """Waveform to the means of the latents; here in chunks, in diffusers whole."""

    name = "encode"

    def _draw(self, frames: int) -> Tensor:
        shape = (1, self.mine.audio_channels, frames * self.mine.downsampling)
        return torch.randn(shape, generator=self._random) * 0.3

    @property
    def parameters(self) -> int:
        """Numbers of the encoder."""
        return sum(parameter.numel() for parameter in self.mine.encoder.parameters())

    @torch.inference_mode()
    def ours(self) -> Tensor:
        """Return the means."""
        return self.mine.encode(self._used)

    @torch.no_grad()
    def diffusers(self) -> Tensor:
        """Return the means."""
        means: Tensor = self.theirs.encode(self._used).latent_dist.mode()
        return means


def _carry_over(theirs: nn.Module, mine: nn.Module, keys: KeyMap, device: torch.device) -> None:
    """Give a module on the meta device its own copy of diffusers' weights."""
    tensors = {name: tensor.clone() for name, tensor in theirs.state_dict().items()}
    load_strictly(mine, tensors, source="diffusers' random weights", keys=keys)
    mine.to(device).eval()


def _diffusers_transformer(
    config: TransformerConfig, *, frames: int, device: torch.device, seed: int
) -> Any:
    with warnings.catch_warnings(), torch.random.fork_rng(), torch.device(device):
        warnings.simplefilter("ignore")  # deprecations inside diffusers
        diffusers: Any = importlib.import_module("diffusers")
        diffusers.logging.set_verbosity_error()  # else it remarks on every cast
        torch.manual_seed(seed)
        head_width = config.width // config.heads
        model = diffusers.StableAudioDiTModel(
            sample_size=frames,
            in_channels=config.latent_channels,
            num_layers=config.depth,
            attention_head_dim=head_width,
            num_attention_heads=config.heads,
            num_key_value_attention_heads=config.context_width // head_width,
            out_channels=config.latent_channels,
            cross_attention_dim=config.context_width,
            global_states_input_dim=config.global_width,
            cross_attention_input_dim=config.context_width,
        )
        return _shake(model.eval())


def _diffusers_rotary(config: TransformerConfig, frames: int) -> tuple[Tensor, Tensor]:
    """Return the table as the pipeline makes it: on the CPU, whatever the device."""
    from diffusers.models.embeddings import get_1d_rotary_pos_embed

    cos, sin = get_1d_rotary_pos_embed(
        config.width // config.heads // 2, frames + 1, use_real=True, repeat_interleave_real=False
    )
    return cos, sin


def _diffusers_autoencoder(config: DiffusionModelConfig, *, device: torch.device, seed: int) -> Any:
    encoder, decoder = config.autoencoder.encoder, config.autoencoder.decoder
    assert (encoder.multipliers, encoder.strides) == (decoder.multipliers, decoder.strides)
    outputs = 2 * config.autoencoder.latent_channels
    with warnings.catch_warnings(), torch.random.fork_rng(), torch.device(device):
        warnings.simplefilter("ignore")  # deprecations inside diffusers
        diffusers: Any = importlib.import_module("diffusers")
        diffusers.logging.set_verbosity_error()  # else it remarks on every cast
        torch.manual_seed(seed)
        model = diffusers.AutoencoderOobleck(
            encoder_hidden_size=encoder.channels,
            downsampling_ratios=list(encoder.strides),
            channel_multiples=list(encoder.multipliers),
            decoder_channels=decoder.channels,
            decoder_input_channels=config.autoencoder.latent_channels,
            audio_channels=config.audio_channels,
            sampling_rate=config.sample_rate,
        )
        if outputs != encoder.channels:
            # diffusers ends the encoder in as many channels as it starts with, which fits the
            # published size alone.
            last = model.encoder.conv2
            model.encoder.conv2 = nn.utils.weight_norm(
                nn.Conv1d(last.in_channels, outputs, 3, padding=1)
            )
        return _shake(model.eval())


@torch.no_grad()
def _shake(model: nn.Module) -> nn.Module:
    """Move what starts as all ones or zeros, so that no two tensors could be exchanged unseen."""
    for parameter in model.parameters():
        if parameter.numel() == max(parameter.shape):
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return model
