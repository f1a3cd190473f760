"""How a model is trained (section 4)."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from stable_audio_open.config.evaluation import (
    GenerationEvaluationConfig,
    ReconstructionEvaluationConfig,
)
from stable_audio_open.config.fields import (
    Fraction,
    Name,
    NonNegative,
    NonNegativeFloat,
    Number,
    Positive,
    PositiveFloat,
    ProperFraction,
    SamplingSteps,
    Seed,
    Size,
)
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig
from stable_audio_open.config.post_training import PostTrainingConfig
from stable_audio_open.config.trainer import TrainerConfig

FftSize = Annotated[int, Meta(ge=4, le=2**20, multiple_of=4)]
FftSizes = Annotated[tuple[FftSize, ...], Meta(min_length=1)]


class EmaConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Exponential moving average of the weights."""

    decay: Fraction = 0.9999
    """Share of the average that survives a step."""
    power: PositiveFloat = 0.75
    """Warm-up: the decay at step n is min(decay, 1 - (1 + n)^-power)."""
    offload: bool = False
    """Keep the average in CPU memory."""


class ReconstructionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Multi-resolution STFT loss on mid/side and left/right (section 4.1)."""

    fft_sizes: FftSizes = (2048, 1024, 512, 256, 128, 64, 32)
    """Windows in samples; the hop is a quarter."""
    a_weighting: bool = True
    """Filter both signals by the A curve first."""
    mid_side: NonNegativeFloat = 1.0
    """Weight of the loss on mid and side."""
    left_right: NonNegativeFloat = 0.5
    """Weight of the loss on left and right."""
    mel: NonNegativeFloat = 0.0
    """Weight of the distance of mel levels in dB (not in the paper; the bass counts more)."""
    waveform: NonNegativeFloat = 0.0
    """Weight of the L1 distance of the waveforms (not in the paper; teaches phase)."""
    kl: NonNegativeFloat = 1e-4
    """Weight of the latents' divergence from a normal distribution."""
    reference: Literal["decoded", "target"] = "decoded"
    """Whose norm divides the spectral convergence (the decoded signal's in the published run)."""
    convergence: Literal["item", "batch"] = "item"
    """Mean over items of the ratio of each one's norms, or the ratio of the whole batch's.

    By `item`, two processes of two items learn what one of four does. The published run predates
    the authors' change to it (0.0.16) and took the ratio of each GPU's batch."""
    skip_silent_side: bool = True
    """Leave mono recordings out of the side term, which they would dominate.

    The published model was trained with the side of all."""

    def __post_init__(self) -> None:
        """Check that there is something to learn."""
        if not (self.mid_side or self.left_right or self.mel or self.waveform):
            raise ValueError(
                "`mid_side`, `left_right`, `mel` and `waveform` are all 0; one must be above 0"
            )


class AdversarialConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Discriminators on complex spectra, trained in turn with the autoencoder (section 4.1)."""

    optimizer: AdamWConfig
    """How the discriminators' weights follow gradients."""
    schedule: InverseLRConfig
    """Their learning rate over their own steps."""
    fft_sizes: FftSizes = (2048, 1024, 512, 256, 128)
    """Window of each discriminator in samples; the hop is a quarter."""
    filters: Size = 64
    """Channels of their hidden layers."""
    adversarial: NonNegativeFloat = 0.1
    """Weight of the adversarial term in the autoencoder's loss."""
    feature_matching: NonNegativeFloat = 5.0
    """Weight of the distance of the discriminators' activations in the autoencoder's loss."""
    first_step: NonNegative = 0
    """Step from which on they take part; from there every second step is theirs."""


class AutoencoderTrainingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section 4.1."""

    trainer: TrainerConfig
    """The run itself."""
    optimizer: AdamWConfig
    """How weights follow gradients."""
    schedule: InverseLRConfig
    """Learning rate over the steps."""
    batch_size: Size
    """Items per device."""
    crop_samples: Positive = 65536
    """Length of an item: a multiple of the autoencoder's downsampling."""
    loss: ReconstructionConfig = ReconstructionConfig()
    """What is minimised."""
    adversarial: AdversarialConfig | None = None
    """Discriminators to train against; none when null."""
    train: Literal["all", "decoder"] = "all"
    """What is trained; `decoder` keeps the encoder as it is (the second phase)."""
    initialize: Name | None = None
    """Checkpoint to start from: an autoencoder, with its discriminators if it holds any, or a
    whole model, whose autoencoder is taken; or the name of a bundled model."""
    ema: EmaConfig | None = EmaConfig()
    """Average of the weights that is used afterwards; none when null."""
    initial_scale_bias: Number | None = None
    """Start of the posterior's scale before softplus; about -4 for a small model."""
    evaluation: ReconstructionEvaluationConfig | None = None
    """Metrics taken during training; none when null."""
    seed: Seed = 0
    """Seed of the weights, crops and noise."""

    def __post_init__(self) -> None:
        """Check that the longest window fits the crops, and that there is a trained encoder."""
        longest = {"loss.fft_sizes": max(self.loss.fft_sizes)}
        if self.adversarial is not None:
            longest["adversarial.fft_sizes"] = max(self.adversarial.fft_sizes)
        for name, size in longest.items():
            if self.crop_samples < size:
                raise ValueError(
                    f"`crop_samples` {self.crop_samples} must be at least the longest of "
                    f"`{name}`, {size}"
                )
        if self.adversarial is not None:
            check_turns(self.trainer)
        if self.trainer.strategy == "fsdp":
            raise ValueError(
                "`trainer.strategy` is `fsdp`, which splits a diffusion transformer; for an "
                "autoencoder it must be `auto` or `ddp`"
            )
        if self.train == "decoder" and self.initialize is None:
            raise ValueError(
                "`train` is `decoder`, which needs a trained encoder; give its checkpoint as "
                "`initialize`"
            )


class DemoConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Audio generated during training, to listen to."""

    every: Positive
    """Training steps between demos."""
    steps: SamplingSteps
    """Sampling steps of a demo."""
    count: Positive
    """Demos at a time; `conditions` are taken in turn, again from the first if they run out."""
    conditions: Annotated[tuple[dict[Name, str | int | float], ...], Meta(min_length=1)]
    """One object per demo: conditioner id to value."""
    guidance_scales: Annotated[tuple[NonNegativeFloat, ...], Meta(min_length=1)]
    """Every demo is generated at each of these."""


class LoraConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Low-rank adaptation: small layers beside the transformer's, which stays as it is."""

    rank: Size = 16
    """Inner width of the added layers."""
    alpha: PositiveFloat = 16.0
    """Their output is multiplied by alpha / rank."""
    targets: Annotated[
        tuple[Literal["self_attention", "cross_attention", "feedforward"], ...], Meta(min_length=1)
    ] = ("self_attention", "cross_attention")
    """Parts of every block that get them."""
    dropout: ProperFraction = 0.0
    """Dropout on the input of the added layers."""
    use_rslora: bool = False
    """Multiply their output by alpha / sqrt(rank), which suits high ranks (Kalajdzievski 2023)."""
    use_dora: bool = False
    """Train the length of each row of the changed weights too (DoRA, Liu et al. 2024)."""


class InpaintingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which latents are kept in training; of what is left over, all behind a prefix is generated.

    The prefix has a random length, from nothing to the whole sound.
    """

    whole: Fraction = 0.8
    """Share of items of which everything is generated, as of text to audio."""
    segments: Fraction = 0.1
    """Share of items of which random segments are generated."""
    most_segments: Annotated[int, Meta(ge=1, le=100)] = 10
    """One to so many segments, each of at most the sound's frames divided by their number."""

    def __post_init__(self) -> None:
        """Check that the shares are shares of one whole."""
        if self.whole + self.segments > 1 + 1e-9:
            raise ValueError(
                f"`whole` {self.whole:g} and `segments` {self.segments:g} must be at most 1 "
                f"together, found {self.whole + self.segments:g}"
            )


class DiffusionTrainingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Section 4.2."""

    optimizer: AdamWConfig
    """How weights follow gradients."""
    schedule: InverseLRConfig
    """Learning rate over the steps."""
    trainer: TrainerConfig | None = None
    """The run itself; required to train."""
    batch_size: Size = 4
    """Items per device."""
    autoencoder: Name | None = None
    """Checkpoint of the trained autoencoder; required unless `initialize` holds one."""
    initialize: Name | None = None
    """Checkpoint of a whole model to start from, or the name of a bundled one."""
    lora: LoraConfig | None = None
    """Train an adapter alone; needs `initialize`. The whole model is trained when null."""
    latents: Literal["draws", "means"] = "draws"
    """What is learnt of the autoencoder's posterior: fresh draws at every step, or its means.

    The published model was trained on draws, the bundled one on means: the deviations of its small
    autoencoder are more than half of their spread, a lot of noise for a small transformer."""
    timesteps: Literal["sobol", "uniform", "logit_normal", "log_snr"] = "sobol"
    """How timesteps are drawn: evenly over 0..1 by a Sobol sequence, each for itself over 0..1,
    most of them in the middle (sigmoid of a standard normal), or evenly in log SNR, from -6 to 2,
    where flows are generated. A flow's `timestep_shift` moves what is drawn."""
    guidance_dropout: Fraction = 0.1
    """Share of items whose cross-attention tokens are zeroed, for guidance."""
    ema: EmaConfig | None = EmaConfig()
    """Average of the transformer's weights that is used afterwards; none when null."""
    activation_checkpointing: Literal["none", "selective", "full"] = "full"
    """What is computed again in the backward pass instead of kept.

    Nothing, all but matrix products and attention, or the transformer's blocks as a whole: slower
    in this order, and with less memory."""
    adversarial: PostTrainingConfig | None = None
    """Train a flow on for few steps, against a discriminator; needs `initialize`, the teacher."""
    inpainting: InpaintingConfig | None = None
    """Train the channels of `transformer.inpainting`, and how; from a model without them they
    start at 0."""
    log_loss_by_timestep: bool = False
    """Log the loss by range of timesteps too."""
    demo: DemoConfig | None = None
    """Audio generated during training, to listen to; none when null."""
    evaluation: GenerationEvaluationConfig | None = None
    """Metrics taken during training; none when null."""
    seed: Seed = 0
    """Seed of the weights, crops, noise and dropout."""

    def __post_init__(self) -> None:
        """Check that an adapter has a model to adapt, and that memory is saved in one way."""
        offloaded = self.optimizer.offload or (self.ema is not None and self.ema.offload)
        if offloaded and self.trainer is not None and self.trainer.strategy == "fsdp":
            raise ValueError(
                "`trainer.strategy` is `fsdp`, which splits running means and averaged weights "
                "over the processes; `optimizer.offload` and `ema.offload` must be false with it"
            )
        if self.lora is not None and self.initialize is None:
            raise ValueError("`lora` adapts a trained model; give its checkpoint as `initialize`")
        if self.adversarial is not None:
            self._check_adversarial()

    def _check_adversarial(self) -> None:
        """Check what two optimisers and a student need."""
        assert self.adversarial is not None
        if self.initialize is None:
            raise ValueError(
                "`adversarial` trains a flow on; give its checkpoint, the teacher, as `initialize`"
            )
        if self.lora is not None:
            raise ValueError("`lora` and `adversarial` do not go together; leave one of them out")
        if self.guidance_dropout:
            raise ValueError(
                f"`guidance_dropout` is {self.guidance_dropout:g}, for a guidance that students "
                "of `adversarial` do without; set it to 0"
            )
        if self.trainer is not None and self.trainer.strategy == "fsdp":
            raise ValueError(
                "`trainer.strategy` is `fsdp`, which has one optimiser; with `adversarial` it must "
                "be `auto` or `ddp`"
            )
        check_turns(self.trainer)
        if self.adversarial.contrastive and self.batch_size < 2:
            raise ValueError(
                "`adversarial.contrastive` compares the prompts of a batch, and `batch_size` is 1; "
                "give 2 or more, or set `contrastive` to 0"
            )


def check_turns(trainer: TrainerConfig | None) -> None:
    """Check that no batches are put together where two optimisers take turns.

    Raises:
        ValueError: They are.
    """
    if trainer is not None and trainer.accumulate > 1:
        raise ValueError(
            f"`trainer.accumulate` is {trainer.accumulate}, and with `adversarial` two optimisers "
            "take a batch each in turn; set it to 1 and `batch_size` higher"
        )
