"""Whole files: an autoencoder alone, or a latent diffusion model."""

from typing import Annotated

from msgspec import Meta, Struct

from stable_audio_open.config.autoencoder import AutoencoderConfig
from stable_audio_open.config.conditioning import ConditioningConfig, T5Config
from stable_audio_open.config.data import DataConfig, FolderConfig
from stable_audio_open.config.fields import Name, NonNegativeFloat, Positive, SampleRate
from stable_audio_open.config.training import (
    AutoencoderTrainingConfig,
    DemoConfig,
    DiffusionTrainingConfig,
)
from stable_audio_open.config.transformer import TransformerConfig
from stable_audio_open.settings import Objective

AudioChannels = Annotated[int, Meta(ge=1, le=2)]
TEXTS = ["prompt"]


class TimestepShiftConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A shift of a flow's times t towards noise, by the length of the latents.

    The odds t / (1 - t) are multiplied by exp(mu), and mu runs from `base_shift` at `min_length`
    frames to `max_shift` at `max_length`, and on in a line beyond them.
    """

    base_shift: NonNegativeFloat = 0.5
    """mu at `min_length` frames."""
    max_shift: NonNegativeFloat = 1.15
    """mu at `max_length` frames."""
    min_length: Positive = 256
    """Frames of latents."""
    max_length: Positive = 4096
    """Frames of latents, above `min_length`."""
    use_sine: bool = False
    """Take sin(pi t / 2) of the shifted time."""

    def __post_init__(self) -> None:
        """Check the order of the lengths."""
        if self.min_length >= self.max_length:
            raise ValueError(
                f"`min_length` {self.min_length} must be below `max_length` {self.max_length}"
            )


class AutoencoderModelConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="autoencoder"
):
    """An autoencoder and, where it is to be trained, how."""

    name: Name
    """What the model is called in logs and folder names."""
    sample_rate: SampleRate
    """Samples per second and channel."""
    audio_channels: AudioChannels
    """1 is mono, 2 stereo."""
    autoencoder: AutoencoderConfig
    """Waveform to latents and back."""
    data: FolderConfig | None = None
    """Recordings to train on."""
    training: AutoencoderTrainingConfig | None = None
    """How the model is trained."""

    def __post_init__(self) -> None:
        """Check that training crops are whole latent frames."""
        hop = self.autoencoder.downsampling
        if self.training is not None and self.training.crop_samples % hop:
            raise ValueError(
                f"`training.crop_samples` {self.training.crop_samples} must be a multiple of the "
                f"autoencoder's downsampling {hop}"
            )


class DiffusionModelConfig(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="latent_diffusion"
):
    """Autoencoder, conditioning and transformer and, where they are to be trained, how."""

    name: Name
    """What the model is called in logs and folder names."""
    sample_rate: SampleRate
    """Samples per second and channel."""
    audio_channels: AudioChannels
    """1 is mono, 2 stereo."""
    window_samples: Positive
    """Longest generation, in samples: a multiple of the autoencoder's downsampling."""
    autoencoder: AutoencoderConfig
    """Waveform to latents and back."""
    conditioning: ConditioningConfig
    """Prompt and timing to condition tokens."""
    transformer: TransformerConfig
    """The denoiser of the latents."""
    objective: Objective = "v"
    """What the transformer predicts: the v of the paper's cosine process, the velocity of a
    rectified flow, or the same after a training for few steps (`rf_denoiser`)."""
    timestep_shift: TimestepShiftConfig | None = None
    """Shift of a flow's timesteps in training and on linear grids; none when null."""
    data: DataConfig | None = None
    """Recordings to train on, or what was encoded of them."""
    training: DiffusionTrainingConfig | None = None
    """How the model is trained."""

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        hop = self.autoencoder.downsampling
        if self.window_samples % hop:
            raise ValueError(
                f"`window_samples` {self.window_samples} must be a multiple of the "
                f"autoencoder's downsampling {hop}"
            )
        if self.transformer.latent_channels != self.autoencoder.latent_channels:
            raise ValueError(
                f"`transformer.latent_channels` {self.transformer.latent_channels} must equal "
                f"`autoencoder.latent_channels` {self.autoencoder.latent_channels}"
            )
        if self.transformer.context_width != self.conditioning.width:
            raise ValueError(
                f"`transformer.context_width` {self.transformer.context_width} must equal "
                f"`conditioning.width` {self.conditioning.width}"
            )
        global_width = self.conditioning.width * len(self.conditioning.global_)
        if self.transformer.global_width != global_width:
            raise ValueError(
                f"`transformer.global_width` {self.transformer.global_width} must equal "
                f"`conditioning.width` x the number of `conditioning.global` ids = {global_width}"
            )
        texts = [c.id for c in self.conditioning.conditioners if isinstance(c, T5Config)]
        if texts != TEXTS:
            raise ValueError(
                "`conditioning.conditioners` must hold one text, of the id `prompt`, and any "
                f"numbers; found the texts {texts}"
            )
        if self.timestep_shift is not None and self.objective == "v":
            raise ValueError(
                "`timestep_shift` is of flows, but `objective` is `v`; leave it out, or set "
                "`objective` to `rectified_flow` or `rf_denoiser`"
            )
        if self.training is not None:
            _check_flow(self, self.training)
            _check_inpainting(self.training, inpainting=self.transformer.inpainting)
        if isinstance(self.data, FolderConfig):
            _check_untouched(self.data)
        if self.training is not None and self.training.demo is not None:
            _check_demo(self.training.demo, self.conditioning)


ModelConfig = AutoencoderModelConfig | DiffusionModelConfig


def _check_flow(model: DiffusionModelConfig, training: DiffusionTrainingConfig) -> None:
    """Check what is for flows alone, and that the discriminator finds its blocks."""
    if training.timesteps == "log_snr" and model.objective == "v":
        raise ValueError(
            "`training.timesteps` is `log_snr`, which is of flows, but `objective` is `v`; choose "
            "`sobol`, `uniform` or `logit_normal`"
        )
    if training.adversarial is None:
        return
    if model.objective != "rf_denoiser":
        raise ValueError(
            f"`training.adversarial` makes a model of few steps, but `objective` is "
            f"`{model.objective}`; set `objective` to `rf_denoiser`"
        )
    blocks = training.adversarial.blocks
    if blocks is not None and blocks > model.transformer.depth:
        raise ValueError(
            f"`training.adversarial.blocks` {blocks} must be at most `transformer.depth` "
            f"{model.transformer.depth}"
        )


def _check_inpainting(training: DiffusionTrainingConfig, *, inpainting: bool) -> None:
    """Check that inpainting channels are trained where there are any."""
    if inpainting and training.inpainting is None:
        raise ValueError(
            "`transformer.inpainting` is true, and `training.inpainting` says nothing of the masks "
            "it is trained on; give {} for the usual ones"
        )
    if training.inpainting is not None and not inpainting:
        raise ValueError(
            "`training.inpainting` trains channels that the model has only with "
            "`transformer.inpainting` true"
        )
    if training.inpainting is not None and training.lora is not None:
        raise ValueError(
            "`training.lora` trains an adapter alone, and not the channels of "
            "`training.inpainting`; leave one of them out"
        )


def _check_untouched(data: FolderConfig) -> None:
    """Refuse what would change recordings whose latents are kept."""
    given = {"polarity_flip": data.polarity_flip or None, "loudness": data.loudness}
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"`data.{name}` is {value:g}, which changes the crops of an autoencoder; a "
                "diffusion model is trained on latents that are encoded once: leave it out"
            )


def _check_demo(demo: DemoConfig, conditioning: ConditioningConfig) -> None:
    """Check that every demo gives each conditioner a value of its kind."""
    ids = [conditioner.id for conditioner in conditioning.conditioners]
    for index, conditions in enumerate(demo.conditions):
        place = f"`training.demo.conditions[{index}]`"
        if sorted(conditions) != sorted(ids):
            raise ValueError(
                f"{place} must give {', '.join(ids)}, found {', '.join(conditions) or 'nothing'}"
            )
        for name, value in conditions.items():
            if isinstance(value, str) is not (name in TEXTS):
                kind = "a string" if name in TEXTS else "a number"
                raise ValueError(f"{place} must give {kind} for {name}, found {value!r}")
