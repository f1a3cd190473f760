"""How much memory a training needs, without starting it."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack, nullcontext
from functools import partial
from typing import NamedTuple

import msgspec
import torch
from torch import Generator, Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.optim import Optimizer

from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.model import TextEncoder, build_model, text_config
from stable_audio_open.builders.random_model import full_prompts
from stable_audio_open.builders.text_encoder import text_encoder_skeleton
from stable_audio_open.builders.training import autoencoder_task, diffusion_task, spectral_loss
from stable_audio_open.checkpoint.bundled import checkpoint_path
from stable_audio_open.checkpoint.native import TEXT_ENCODER_FOLDER
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.trainer import TrainerConfig
from stable_audio_open.config.training import (
    AutoencoderTrainingConfig,
    DiffusionTrainingConfig,
    EmaConfig,
)
from stable_audio_open.losses.stereo_spectral import StereoSpectralLoss
from stable_audio_open.training.inpainting import InpaintingMasks
from stable_audio_open.training.memory import Turn, as_on_gpu, step_memory
from stable_audio_open.training.parallel.offloading import OffloadedAdamW
from stable_audio_open.training.post_training.task import AdversarialPostTraining
from stable_audio_open.training.randomness import BatchRandomness
from stable_audio_open.training.tasks.adversarial import AdversarialTraining
from stable_audio_open.training.tasks.autoencoder import AutoencoderTraining, freeze_encoder
from stable_audio_open.training.tasks.diffusion import DiffusionTraining
from stable_audio_open.training.tasks.learnt import LearntBatch


class MemoryEstimate(NamedTuple):
    """Bytes at the largest moment of a training step, for one device."""

    trained: int
    """Weights that are trained."""
    frozen: int
    """Weights that are not, and buffers."""
    gradients: int
    buckets: int
    """Copies of the gradients that processes exchange."""
    optimizer: int
    """Running means."""
    ema: int
    """Averaged weights."""
    activations: int
    """What the forward pass keeps for the backward pass."""
    working: int
    """What else is there for a moment."""
    host_optimizer: int
    """Running means that lie in CPU memory instead."""
    host_ema: int
    """Averaged weights that do."""

    @property
    def total(self) -> int:
        """Bytes on the device."""
        return sum(self) - self.host

    @property
    def host(self) -> int:
        """Bytes in CPU memory through offloading."""
        return self.host_optimizer + self.host_ema


def estimate_memory(config: ModelConfig, *, gpu: bool | None = None) -> MemoryEstimate:
    """Follow a training step on tensors that hold nothing; nothing is read, written or computed.

    Not counted: what the device's own libraries and the demos take, and `compile` taking less.
    On the CPU, what is offloaded counts with the rest.

    Args:
        config: Configuration with `training`.
        gpu: Estimate for a GPU; where None, as `training.trainer.accelerator` says, where
            `auto` is a GPU.

    Raises:
        ConfigError: When `training` or its trainer is missing, or shares the model among GPUs.
        ValueError: When the size of the text encoder is unknown.
    """
    training = config.training
    if training is None or training.trainer is None:
        missing = "training" if training is None else "training.trainer"
        raise ConfigError(f"{config.name}: `{missing}` is missing; the estimate needs this section")
    trainer = training.trainer
    if trainer.strategy == "fsdp":
        raise ConfigError(
            f"{config.name}: training.trainer.strategy is fsdp, for which there is no estimate; "
            "allowed: auto, ddp"
        )
    if gpu is None:
        gpu = trainer.accelerator != "cpu"
    # Filters of the loss are designed, which takes their values.
    distances = None
    if isinstance(config, AutoencoderModelConfig):
        assert isinstance(training, AutoencoderTrainingConfig)
        distances = spectral_loss(config, training)
    with ExitStack() as stack:
        stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        stack.enter_context(torch.random.fork_rng(devices=[]))
        match config:
            case AutoencoderModelConfig(training=AutoencoderTrainingConfig() as own):
                assert distances is not None
                return _autoencoder(config, own, distances, gpu=gpu)
            case DiffusionModelConfig(training=DiffusionTrainingConfig() as own):
                return _diffusion(config, own, trainer, gpu=gpu)
    raise AssertionError(config)


def _diffusion(
    config: DiffusionModelConfig,
    training: DiffusionTrainingConfig,
    trainer: TrainerConfig,
    *,
    gpu: bool,
) -> MemoryEstimate:
    # Adapters cannot be moved as fake tensors: everything is built first.
    with torch.device("meta"):
        model = build_model(config, text_encoder=_text_encoder(config, training))
        task = diffusion_task(config, msgspec.structs.replace(training, ema=None), model)
    _fake(task)
    if training.inpainting is not None:
        task.inpainting = _NothingKept(**msgspec.structs.asdict(training.inpainting))
    items = training.batch_size
    learnt = LearntBatch(
        torch.zeros(items, config.autoencoder.latent_channels, model.window_frames),
        full_prompts(model.conditioner, items),
        torch.zeros(items),
        BatchRandomness(seed=0, step=0, batch=0, items=items, rank=0, processes=1),
    )
    made = task.configure_optimizers()
    if isinstance(task, AdversarialPostTraining):
        student, discriminator = made[0]
        # The warm-up, whose teacher keeps nothing for a backward pass, stays below these.
        turns = [
            _turn(partial(task.student_loss, learnt), student, gpu=gpu),
            _turn(partial(task.discriminator_loss, learnt), discriminator, gpu=gpu),
        ]
    else:
        turns = [_turn(lambda: task.velocity_errors(learnt).mean(), made["optimizer"], gpu=gpu)]
    average = _average(training.ema, model.transformer, gpu=gpu)
    return _measured(task, turns, trainer, average, gpu=gpu)


class _NothingKept(InpaintingMasks):
    """Masks that are not drawn, which takes values; any takes as much memory."""

    def draw(
        self, generators: Sequence[Generator], lengths: Sequence[float], frames: int
    ) -> Tensor:
        """Return masks that keep nothing."""
        del lengths
        return torch.zeros(len(generators), 1, frames)


def _autoencoder(
    config: AutoencoderModelConfig,
    training: AutoencoderTrainingConfig,
    distances: StereoSpectralLoss,
    *,
    gpu: bool,
) -> MemoryEstimate:
    model = build_autoencoder(config)
    if training.train == "decoder":
        freeze_encoder(model)
    # Nothing is read.
    alone = msgspec.structs.replace(training, ema=None, initialize=None, train="all")
    task = autoencoder_task(config, alone, model, distances=distances)
    audio = torch.zeros(training.batch_size, config.audio_channels, training.crop_samples)
    made = task.configure_optimizers()
    if isinstance(task, AdversarialTraining):
        autoencoder, discriminator = made[0]
        turns = [
            _turn(lambda: task.autoencoder_loss(audio, 0).loss, autoencoder, gpu=gpu),
            _turn(lambda: task.discriminator_loss(audio, 0), discriminator, gpu=gpu),
        ]
    else:
        turns = [_turn(lambda: task.reconstruct(audio, 0).loss, made["optimizer"], gpu=gpu)]
    average = _average(training.ema, model, gpu=gpu)
    return _measured(task, turns, training.trainer, average, gpu=gpu)


def _turn(loss: Callable[[], Tensor], optimizer: Optimizer, *, gpu: bool) -> Turn:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    elsewhere = gpu and isinstance(optimizer, OffloadedAdamW)
    if gpu:  # AdamW's own choice there
        optimizer.param_groups[0]["foreach"] = True
    return Turn(loss, None if elsewhere else optimizer, parameters)


def _measured(
    task: DiffusionTraining | AutoencoderTraining,
    turns: Sequence[Turn],
    trainer: TrainerConfig,
    average: "_Average",
    *,
    gpu: bool,
) -> MemoryEstimate:
    trained = [p for turn in turns for p in turn.parameters]
    counted = {id(tensor) for tensor in trained}
    frozen = [tensor for tensor in _tensors(task) if id(tensor) not in counted]
    half = trainer.precision == "bf16-mixed"
    if gpu:
        as_on_gpu(task, half=half)
    step = step_memory(
        turns,
        existing=[*trained, *frozen],
        accumulate=trainer.accumulate,
        autocast=partial(torch.autocast, "cpu", dtype=torch.bfloat16) if half else nullcontext,
    )
    elsewhere = [p for turn in turns if turn.optimizer is None for p in turn.parameters]
    there = _bytes(trained) + _bytes(frozen) + step.gradients + step.optimizer
    return MemoryEstimate(
        trained=_bytes(trained),
        frozen=_bytes(frozen),
        gradients=step.gradients,
        buckets=step.gradients if trainer.strategy == "ddp" else 0,
        optimizer=step.optimizer,
        ema=average.device,
        activations=step.kept,
        working=step.peak - there - step.kept,
        host_optimizer=2 * _bytes(elsewhere),
        host_ema=average.host,
    )


class _Average(NamedTuple):
    """Bytes of averaged weights."""

    device: int
    host: int


def _average(ema: EmaConfig | None, online: nn.Module, *, gpu: bool) -> _Average:
    if ema is None:
        return _Average(0, 0)
    size = _bytes(_tensors(online))
    return _Average(0, size) if gpu and ema.offload else _Average(size, 0)


def _text_encoder(config: DiffusionModelConfig, training: DiffusionTrainingConfig) -> TextEncoder:
    """Return one without weights: of the size that lies beside the model or is named."""
    if training.initialize is not None:
        beside = checkpoint_path(training.initialize) / TEXT_ENCODER_FOLDER
        if beside.is_dir():
            return text_encoder_skeleton(beside)
    return text_encoder_skeleton(text_config(config).model)


def _fake(module: nn.Module) -> None:
    """Put fake tensors of the CPU in the places of those on the meta device, shared ones once."""
    made: dict[int, Tensor] = {}
    for part in module.modules():
        own = (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False))
        for name, tensor in own:
            if id(tensor) not in made:
                new = torch.empty(tensor.shape, dtype=tensor.dtype)
                trained = isinstance(tensor, nn.Parameter)
                made[id(tensor)] = (
                    nn.Parameter(new, requires_grad=tensor.requires_grad) if trained else new
                )
            setattr(part, name, made[id(tensor)])


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
