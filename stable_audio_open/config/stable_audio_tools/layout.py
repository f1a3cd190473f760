"""The layout of stable-audio-tools' `model_config.json`, as far as it is understood here.

Fields that decide the model's shape are required. Every other field may be absent and is then
UNSET, which stands for stable-audio-tools' default. Fields of one supported value (a Literal or
`extra={"supported": ...}`) exist so that the other values are refused by name.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from stable_audio_open.config.autoencoder import EvenStride
from stable_audio_open.config.fields import (
    Depth,
    Fraction,
    Name,
    NonNegativeFloat,
    Positive,
    PositiveFloat,
    ProperFraction,
    SampleRate,
    SamplingSteps,
    Size,
)
from stable_audio_open.settings import Objective

OnlyTrue = Annotated[bool, Meta(extra={"supported": (True,)})]
OnlyFalse = Annotated[bool, Meta(extra={"supported": (False,)})]
OnlyZero = Annotated[float, Meta(extra={"supported": (0,)})]
LEAST_ROTATED = 32
"""Features of each head that stable-audio-tools rotates at least; from heads of 64 on, half."""
T5_NAMES = (
    *("t5-small", "t5-base", "t5-large", "t5-3b", "t5-11b", "google/flan-t5-small"),
    *("google/flan-t5-base", "google/flan-t5-large", "google/flan-t5-xl", "google/flan-t5-xxl"),
)
"""Text encoders that stable-audio-tools takes; it downloads them."""
INPAINTING_IDS = ("inpaint_mask", "inpaint_masked_input")
"""What is concatenated to the noised latents, in this order."""
NoNames = Annotated[tuple[str, ...], Meta(max_length=0)]
NoSettings = Annotated[dict[str, Any], Meta(max_length=0)]


class EncoderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`encoder.config`."""

    in_channels: Size
    channels: Size
    c_mults: tuple[Size, ...]
    strides: tuple[EvenStride, ...]
    latent_dim: Size
    use_snake: OnlyTrue
    antialias_activation: OnlyFalse | UnsetType = UNSET


class Encoder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`encoder`."""

    type: Literal["oobleck"]
    requires_grad: bool | UnsetType = UNSET
    config: EncoderSettings


class DecoderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`decoder.config`."""

    out_channels: Size
    channels: Size
    c_mults: tuple[Size, ...]
    strides: tuple[EvenStride, ...]
    latent_dim: Size
    use_snake: OnlyTrue
    final_tanh: bool
    antialias_activation: OnlyFalse | UnsetType = UNSET
    use_nearest_upsample: OnlyFalse | UnsetType = UNSET


class Decoder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`decoder`."""

    type: Literal["oobleck"]
    config: DecoderSettings
    soft_clip: OnlyFalse | UnsetType = UNSET


class Bottleneck(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`bottleneck`."""

    type: Literal["vae"]
    config: NoSettings | UnsetType = UNSET


class Autoencoder(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`pretransform.config`, or `model` of an autoencoder alone."""

    encoder: Encoder
    decoder: Decoder
    bottleneck: Bottleneck
    latent_dim: Size
    downsampling_ratio: Positive
    io_channels: Size
    in_channels: Size | UnsetType = UNSET
    out_channels: Size | UnsetType = UNSET


class Pretransform(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model.pretransform`."""

    type: Literal["autoencoder"]
    iterate_batch: bool | UnsetType = UNSET
    scale: PositiveFloat | UnsetType = UNSET
    model_half: OnlyFalse | UnsetType = UNSET
    enable_grad: OnlyFalse | UnsetType = UNSET
    chunked: OnlyFalse | UnsetType = UNSET
    config: Autoencoder


class T5Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`config` of a text conditioner."""

    t5_model_name: Name
    max_length: Size
    enable_grad: bool | UnsetType = UNSET
    project_out: OnlyFalse | UnsetType = UNSET


class T5Conditioner(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="t5"):
    """A text conditioner."""

    id: Name
    config: T5Settings


class NumberSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`config` of a number conditioner."""

    min_val: float
    max_val: float


class NumberConditionerSettings(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="number"
):
    """A number conditioner."""

    id: Name
    config: NumberSettings


class ConditioningSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model.conditioning`."""

    configs: tuple[T5Conditioner | NumberConditionerSettings, ...]
    cond_dim: Size
    default_keys: NoSettings | UnsetType = UNSET


class AttentionSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`attn_kwargs`."""

    qk_norm: Literal["none", "ln"] | UnsetType = UNSET


class DitSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model.diffusion.config`."""

    io_channels: Size
    embed_dim: Size
    depth: Depth
    num_heads: Size
    cond_token_dim: Size
    global_cond_dim: Annotated[int, Meta(ge=0, le=65536)] | UnsetType = UNSET
    project_cond_tokens: bool | UnsetType = UNSET
    transformer_type: Literal["continuous_transformer"]
    attn_kwargs: AttentionSettings | UnsetType = UNSET
    patch_size: Literal[1] | UnsetType = UNSET
    project_global_cond: OnlyTrue | UnsetType = UNSET
    input_concat_dim: Annotated[int, Meta(ge=0, le=65536)] | UnsetType = UNSET
    prepend_cond_dim: Literal[0] | UnsetType = UNSET
    global_cond_type: Literal["prepend"] | UnsetType = UNSET
    timestep_cond_type: Literal["global"] | UnsetType = UNSET
    timestep_embed_dim: UnsetType | None = UNSET
    diffusion_objective: Objective | UnsetType = UNSET
    qk_norm: Annotated[bool | str, Meta(extra={"supported": (False, "none")})] | UnsetType = UNSET
    num_memory_tokens: Literal[0] | UnsetType = UNSET
    rotary_pos_emb: OnlyTrue | UnsetType = UNSET
    use_sinusoidal_emb: OnlyFalse | UnsetType = UNSET
    use_abs_pos_emb: OnlyFalse | UnsetType = UNSET
    conformer: OnlyFalse | UnsetType = UNSET
    causal: OnlyFalse | UnsetType = UNSET
    sliding_window: UnsetType | None = UNSET


class DistributionShift(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`distribution_shift_options`."""

    base_shift: NonNegativeFloat | UnsetType = UNSET
    max_shift: NonNegativeFloat | UnsetType = UNSET
    min_length: Positive | UnsetType = UNSET
    max_length: Positive | UnsetType = UNSET
    use_sine: bool | UnsetType = UNSET


class Diffusion(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model.diffusion`."""

    type: Literal["dit"]
    cross_attention_cond_ids: tuple[Name, ...]
    global_cond_ids: tuple[Name, ...] | UnsetType = UNSET
    diffusion_objective: Objective | UnsetType = UNSET
    distribution_shift_options: DistributionShift | UnsetType = UNSET
    input_concat_ids: tuple[Name, ...] | UnsetType = UNSET
    prepend_cond_ids: NoNames | UnsetType = UNSET
    config: DitSettings


class DiffusionCondModel(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`model`."""

    pretransform: Pretransform
    conditioning: ConditioningSettings
    diffusion: Diffusion
    io_channels: Size


class AdamWSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`optimizer.config`."""

    lr: PositiveFloat
    betas: tuple[ProperFraction, ProperFraction]
    weight_decay: NonNegativeFloat
    eps: Annotated[float, Meta(extra={"supported": (1e-8,)})] | UnsetType = UNSET
    amsgrad: OnlyFalse | UnsetType = UNSET


class Optimizer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`optimizer`."""

    type: Literal["AdamW"]
    config: AdamWSettings


class InverseLRSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`scheduler.config`."""

    inv_gamma: PositiveFloat
    power: NonNegativeFloat
    warmup: ProperFraction
    final_lr: OnlyZero | UnsetType = UNSET


class Scheduler(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`scheduler`."""

    type: Literal["InverseLR"]
    config: InverseLRSettings


class OptimizerAndScheduler(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`optimizer_configs.diffusion`."""

    optimizer: Optimizer
    scheduler: Scheduler


class OptimizerConfigs(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`training.optimizer_configs`."""

    diffusion: OptimizerAndScheduler


class DemoSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`training.demo`."""

    demo_every: Positive
    demo_steps: SamplingSteps
    num_demos: Positive
    demo_cond: Annotated[tuple[dict[Name, str | int | float], ...], Meta(min_length=1)]
    demo_cfg_scales: Annotated[tuple[NonNegativeFloat, ...], Meta(min_length=1)]


class DiffusionCondTraining(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`training`."""

    use_ema: bool | UnsetType = UNSET
    log_loss_info: bool | UnsetType = UNSET
    learning_rate: UnsetType | None = UNSET
    optimizer_configs: OptimizerConfigs
    cfg_dropout_prob: Fraction | UnsetType = UNSET
    timestep_sampler: Literal["uniform", "logit_normal"] | UnsetType = UNSET
    mask_padding: OnlyFalse | UnsetType = UNSET
    mask_padding_dropout: OnlyZero | UnsetType = UNSET
    pre_encoded: OnlyFalse | UnsetType = UNSET
    demo: DemoSettings | UnsetType = UNSET


class DiffusionCondFile(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="model_type",
    tag="diffusion_cond",
):
    """A text-conditioned latent diffusion model."""

    sample_size: Positive
    sample_rate: SampleRate
    audio_channels: Annotated[int, Meta(ge=1, le=2)]
    model: DiffusionCondModel
    training: Any = UNSET
    """A `DiffusionCondTraining`, where the program that wrote it trains as we do."""


class DiffusionCondInpaintFile(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="model_type",
    tag="diffusion_cond_inpaint",
):
    """The same with inpainting channels."""

    sample_size: Positive
    sample_rate: SampleRate
    audio_channels: Annotated[int, Meta(ge=1, le=2)]
    model: DiffusionCondModel
    training: Any = UNSET


class AutoencoderFile(
    Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="model_type",
    tag="autoencoder",
):
    """An autoencoder alone."""

    sample_size: Positive
    sample_rate: SampleRate
    audio_channels: Annotated[int, Meta(ge=1, le=2)]
    model: Autoencoder
    training: dict[str, Any] | UnsetType = UNSET


DiffusionFile = DiffusionCondFile | DiffusionCondInpaintFile
File = DiffusionFile | AutoencoderFile
