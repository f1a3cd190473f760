"""One training step of the autoencoder and of the transformer, stage by stage.

The step is that of the Lightning modules, called by hand, on synthesised recordings that the data
modules read from files.
"""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from msgspec.structs import replace
from torch import Tensor, nn

from benchmarking.sizes import Size
from benchmarking.timing import Stages, by_stage
from stable_audio_open.audio.audio import Audio
from stable_audio_open.autoencoder.bottleneck import Posterior
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.data import autoencoder_data
from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.builders.run import AutoencoderRun
from stable_audio_open.builders.text_encoder import T5_VOCABULARY
from stable_audio_open.builders.training import (
    autoencoder_task,
    diffusion_task,
    new_autoencoder,
)
from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.data.cache import encode_recordings
from stable_audio_open.data.datamodule import AudioDataModule
from stable_audio_open.data.latents import LatentDataset
from stable_audio_open.data.manifest import Recording, write_manifest
from stable_audio_open.training.tasks.adversarial import AdversarialTraining

STAGES = ("data", "forward", "losses", "backward", "optimiser")
CROPS = 4
"""Crops in each synthesised recording."""


class Turn(NamedTuple):
    """A step of one optimiser."""

    loss: Callable[[Any, int], Tensor]
    """Of a batch and its number."""
    modules: Sequence[nn.Module]
    """What the step runs forward."""
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    step: Callable[[int], None]
    """Follow the gradient and move the averages; told the number of the step."""
    schedule: Any


def time_autoencoder(
    config: AutoencoderModelConfig,
    *,
    device: torch.device,
    dtype: torch.dtype,
    warmup: int,
    repeats: int,
) -> dict[str, Any]:
    """Return the times of a step of the autoencoder's training: alone, and of both sides in a GAN.

    Args:
        config: With discriminators.
        device: Where to.
        dtype: float32, or bfloat16 for mixed precision.
        warmup: Steps that are not counted.
        repeats: Steps that are.
    """
    training = config.training
    assert training is not None, "the shipped configurations say how to train"
    model = new_autoencoder(config, training)
    alone = autoencoder_task(config, replace(training, adversarial=None), model)
    against = autoencoder_task(config, training, model)
    assert isinstance(against, AdversarialTraining)
    shape = f"batch {training.batch_size} x {training.crop_samples} samples"
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        synthesise(
            Path(folder),
            files=training.batch_size,
            samples=CROPS * training.crop_samples,
            sample_rate=config.sample_rate,
            channels=config.audio_channels,
            seed=training.seed,
        )
        run = AutoencoderRun(
            config=config,
            training=training,
            trainer=training.trainer,
            data=FolderConfig(path=folder, crops_per_recording=CROPS),
        )
        data = autoencoder_data(run)
        for name, task, turn in (
            ("training autoencoder", alone, _only_turn(alone, (model.encoder, model.decoder))),
            ("training autoencoder against discriminators", against, _turns(against)[0]),
            ("training discriminators", against, _turns(against)[1]),
        ):
            stages = time_steps(
                task,
                turn,
                data,
                clip=training.trainer.gradient_clip,
                device=device,
                dtype=dtype,
                warmup=warmup,
                repeats=repeats,
            )
            measured[name] = {"shape": shape, "parameters": _trained(turn.trained), **stages}
    return measured


def _only_turn(task: pl.LightningModule, modules: Sequence[nn.Module]) -> Turn:
    """Return the step of a module whose optimiser Lightning steps."""
    configured: Any = task.configure_optimizers()
    optimizer: torch.optim.Optimizer = configured["optimizer"]
    return Turn(
        loss=lambda batch, index: task.training_step(batch, index),  # type: ignore[arg-type,return-value]
        modules=modules,
        trained=task,
        optimizer=optimizer,
        step=lambda index: task.optimizer_step(0, index, optimizer),
        schedule=configured["lr_scheduler"]["scheduler"],
    )


def _turns(task: AdversarialTraining) -> tuple[Turn, Turn]:
    """Return the steps of the autoencoder and of the discriminators."""
    (ours, theirs), schedules = task.configure_optimizers()

    def update(index: int) -> None:
        ours.step()
        task.update_average(index + 1)

    networks = (task.model.encoder, task.model.decoder, task.discriminator)
    return (
        Turn(
            loss=lambda batch, index: task.autoencoder_loss(batch["audio"], index).loss,
            modules=networks,
            trained=task.model,
            optimizer=ours,
            step=update,
            schedule=schedules[0],
        ),
        Turn(
            loss=lambda batch, index: task.discriminator_loss(batch["audio"], index),
            modules=networks,
            trained=task.discriminator,
            optimizer=theirs,
            step=lambda _: theirs.step(),
            schedule=schedules[1],
        ),
    )


def time_transformer(
    config: DiffusionModelConfig,
    size: Size,
    *,
    device: torch.device,
    dtype: torch.dtype,
    warmup: int,
    repeats: int,
) -> dict[str, Any]:
    """Return the times of a step of the transformer's training, on cached random latents."""
    training = config.training
    assert training is not None, "the shipped configurations say how to train"
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        model = build_model(config, text_encoder=random_text_encoder(size))
    task = diffusion_task(config, training, model)
    frames = model.window_frames
    with tempfile.TemporaryDirectory() as folder:
        recordings = synthesise(
            Path(folder),
            files=2 * training.batch_size,
            samples=config.sample_rate,
            sample_rate=config.sample_rate,
            channels=config.audio_channels,
            seed=training.seed,
        )
        latents = encode_recordings(
            autoencoder=RandomLatents(config),
            recordings=recordings,
            folder=folder,
            cache=Path(folder) / "latents",
            channels=config.audio_channels,
            window_samples=config.window_samples,
        )
        dataset = LatentDataset(
            recordings=recordings,
            latents=latents,
            window=frames,
            downsampling=config.autoencoder.downsampling,
            sample_rate=config.sample_rate,
            seed=training.seed,
        )
        stages = time_steps(
            task,
            _only_turn(task, (model.conditioner, model.transformer)),
            AudioDataModule(dataset, batch_size=training.batch_size, seed=training.seed),
            clip=training.trainer.gradient_clip if training.trainer is not None else None,
            device=device,
            dtype=dtype,
            warmup=warmup,
            repeats=repeats,
        )
    shape = f"batch {training.batch_size} x {frames} frames, depth {config.transformer.depth}"
    return {"shape": shape, "parameters": _trained(task), **stages}


def time_steps(
    task: pl.LightningModule,
    turn: Turn,
    data: AudioDataModule,
    *,
    clip: float | None,
    device: torch.device,
    dtype: torch.dtype,
    warmup: int,
    repeats: int,
) -> dict[str, Any]:
    """Train for some steps, and return the seconds of each stage.

    `data` reads a batch and moves it to the device, `forward` is the time inside the networks,
    `losses` the rest of the training step (noise, targets and losses), `optimiser` is clipping,
    AdamW, schedule and the average of the weights.

    Args:
        task: The module.
        turn: The step to time; its optimiser's weights may already be on the device or not.
        data: Its batches.
        clip: Largest norm of the gradient, None for any.
        device: Where to.
        dtype: float32, or bfloat16 for mixed precision.
        warmup: Steps that are not counted.
        repeats: Steps that are.
    """
    task.to(device).train()
    batches: Iterator[Any] = chain.from_iterable(repeat(data.train_dataloader()))
    stages = Stages(device)
    handles = [
        handle
        for module in turn.modules
        for handle in (
            module.register_forward_pre_hook(lambda *_: stages.begin("forward")),
            module.register_forward_hook(lambda *_: stages.end("forward")),
        )
    ]
    mixed = partial(torch.autocast, device.type, torch.bfloat16, enabled=dtype == torch.bfloat16)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    steps = []
    for index in range(warmup + repeats):
        with stages.stage("data"):
            batch = {name: _to(value, device) for name, value in next(batches).items()}
        with stages.stage("step"), warnings.catch_warnings(), mixed():
            # Lightning's remark that without a trainer nothing is logged.
            warnings.filterwarnings("ignore", message="You are trying to `self.log")
            loss = turn.loss(batch, index)
        with stages.stage("backward"):
            loss.backward()
        with stages.stage("optimiser"):
            if clip is not None:
                nn.utils.clip_grad_norm_(turn.trained.parameters(), clip)
            turn.step(index)
            turn.schedule.step()
            turn.optimizer.zero_grad(set_to_none=True)
        seconds = stages.take()
        seconds["losses"] = seconds.pop("step") - seconds["forward"]
        steps.append({name: seconds[name] for name in STAGES} | {"whole": sum(seconds.values())})
    for handle in handles:
        handle.remove()
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    spreads = by_stage(steps[warmup:])
    return {
        "peak_bytes": peak,
        "stages": {name: spread.to_json() for name, spread in spreads.items()},
    }


def synthesise(
    folder: Path, *, files: int, samples: int, sample_rate: int, channels: int, seed: int
) -> list[Recording]:
    """Write noise as FLAC files, with a manifest."""
    random = torch.Generator().manual_seed(seed)
    recordings = []
    for index in range(files):
        name = f"noise_{index}.flac"
        noise = torch.randn((1, channels, samples), generator=random).clamp(-3, 3) * 0.2
        Audio(noise, sample_rate).save(folder / name)
        recordings.append(Recording(file=name, caption=f"loud noise number {index}"))
    write_manifest(folder / "manifest.jsonl", recordings)
    return recordings


class RandomLatents:
    """Stands in for a trained autoencoder: the transformer's step never runs one."""

    scale = 1.0

    def __init__(self, config: DiffusionModelConfig) -> None:
        with torch.device("meta"):
            shape = build_autoencoder(config)
        self.downsampling = shape.downsampling
        self.sample_rate = shape.sample_rate
        self._channels = shape.latent_channels
        self._random = torch.Generator().manual_seed(0)

    def state_dict(self) -> dict[str, Any]:
        """Return no weights."""
        return {}

    def posterior(self, audio: Tensor, *, chunked: bool) -> Posterior:
        """Return one of noise in the shape of the latents."""
        del chunked
        shape = len(audio), self._channels, audio.shape[-1] // self.downsampling
        mean = torch.randn(shape, generator=self._random)
        return Posterior(mean, torch.full_like(mean, 0.1))


def random_text_encoder(size: Size) -> TextEncoder:
    """Return an untrained T5 encoder, with a tokenizer that knows the length of words alone."""
    from transformers import T5Config, T5EncoderModel

    config = T5Config(vocab_size=T5_VOCABULARY, **size.text_encoder)
    return TextEncoder(_tokenize, T5EncoderModel(config).eval(), config.d_model)


def _tokenize(text: list[str], **settings: Any) -> dict[str, Tensor]:
    max_length: int = settings["max_length"]
    ids = torch.zeros((len(text), max_length), dtype=torch.long)
    for row, words in zip(ids, text, strict=True):
        numbers = [len(word) for word in words.split()][:max_length]
        row[: len(numbers)] = torch.tensor(numbers)
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def _to(value: Any, device: torch.device) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value


def _trained(task: nn.Module) -> int:
    return sum(parameter.numel() for parameter in task.parameters() if parameter.requires_grad)
