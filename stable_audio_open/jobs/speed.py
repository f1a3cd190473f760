"""How fast a model generates: each stage for itself, as `generate` does it."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from stable_audio_open.arguments.checks import rounded_down
from stable_audio_open.builders.precision import place
from stable_audio_open.builders.random_model import full_prompts, random_model
from stable_audio_open.conditioning.conditioner import Prepared
from stable_audio_open.conditions import Conditioning
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.diffusion.conditioned import ConditionedTransformer
from stable_audio_open.diffusion.guidance import GuidedVelocity
from stable_audio_open.diffusion.objective import process
from stable_audio_open.diffusion.samplers import get_sampler, initial_noise
from stable_audio_open.diffusion.schedule import polyexponential
from stable_audio_open.evaluation.speed import (
    Speed,
    StageTime,
    machine_name,
    measure_stage,
    process_memory,
)
from stable_audio_open.evaluation.weights import module_hash
from stable_audio_open.jobs.loading import ModelRequest
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.settings import (
    GUIDANCE_SCALE,
    SAMPLER,
    SIGMA_MAX,
    SIGMA_MIN,
    check_steps,
)

CHUNKS = (32, 64, 128, 256, 512)
"""Latents; of these, what is not below the window is left out."""


class SpeedRequest(ModelRequest, frozen=True, kw_only=True):
    """Which model is measured, and on how much sound.

    A configuration (.json) in place of a model is measured with random weights.

    Raises:
        ValueError: When a number is below 1.
    """

    dtype: str = "float32"
    """Number format of the weights, as `load` takes it."""
    window: float | None = None
    """Seconds of sound; the model's window where None."""
    steps: int = 20
    """Sampling steps in a measurement."""
    chunks: tuple[int, ...] = ()
    """Latents in a chunk of decoding, the overlap not counted; `CHUNKS` where there are none."""
    batch: int = 1
    """Sounds at once."""
    repeats: int = 5
    """Measurements of each stage, after a warm-up."""
    attention: str = "sdpa"
    """Backend of attention, as `load` takes it."""

    def __post_init__(self) -> None:
        counts = {"batch": self.batch, "repeats": self.repeats}
        for name, value in (*counts.items(), *(("chunks", core) for core in self.chunks)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        check_steps(self.steps)


def measure_speed(request: SpeedRequest, *, tell: Callable[[str], None] = lambda _: None) -> Speed:
    """Load a model, and measure text encoding, diffusion with guidance, and decoding.

    Args:
        request: The model and what it does.
        tell: Takes warnings, line by line.

    Raises:
        ValueError: The model cannot be loaded, is an autoencoder alone, or has a shorter window.
    """
    model, is_random = _loaded(request)
    frames = _frames(model, request.window)
    for core in request.chunks:
        if core >= frames:
            tell(
                f"warning: chunks of {core} latents are left out: the {frames} latents of the "
                "window are one chunk, which is decoding as a whole"
            )
    stages = measure_stages(
        model,
        full_prompts(model.conditioner, request.batch),
        frames=frames,
        steps=request.steps,
        chunks=[core for core in request.chunks or CHUNKS if core < frames],
        repeats=request.repeats,
    )
    peak = process_memory()  # hashing copies weights from the GPU
    return Speed(
        model=request.model,
        checkpoint_hash=None if is_random else module_hash(model),
        machine=machine_name(model.device),
        torch=str(torch.__version__),
        dtype=model.precision,
        threads=None if model.device.type == "cuda" else torch.get_num_threads(),
        batch=request.batch,
        seconds=frames * model.autoencoder.downsampling / model.sample_rate,
        frames=frames,
        repeats=request.repeats,
        stages=tuple(stages),
        process_memory=peak,
    )


def _loaded(request: SpeedRequest) -> tuple[LatentDiffusion, bool]:
    """Return the model, and whether its weights are random."""
    path = request.model
    if not path.endswith(".json"):
        trained = StableAudio.from_pretrained(
            path,
            device=request.device,
            dtype=request.dtype,
            text_encoder=request.text_encoder,
            attention=request.attention,
        )
        return trained, False
    config = read_config(Path(path), for_training=False)
    if not isinstance(config, DiffusionModelConfig):
        raise ValueError(f"{path}: is of an autoencoder alone; give the configuration of a model")
    built = random_model(config, text_encoder=request.text_encoder)
    placed = place(built, device=request.device, dtype=request.dtype, attention=request.attention)
    return placed, True


def _frames(model: LatentDiffusion, window: float | None) -> int:
    """Return how many latents a sound of so many seconds has."""
    longest = model.window_seconds
    if window is not None and not 0 < window <= longest:
        raise ValueError(
            f"window must be above 0 and at most the model's {rounded_down(longest, 2)} seconds, "
            f"got {window}"
        )
    samples = (window or longest) * model.sample_rate
    return min(math.ceil(samples / model.autoencoder.downsampling), model.window_frames)


@torch.inference_mode()
def measure_stages(
    model: LatentDiffusion,
    prepared: Prepared,
    *,
    frames: int,
    steps: int,
    chunks: Sequence[int],
    repeats: int,
) -> list[StageTime]:
    """Measure text encoding, diffusion, and decoding as a whole and at several chunk sizes.

    Args:
        model: In evaluation mode; all its parts are on one device.
        prepared: Prompts and numbers of the batch.
        frames: Latents of a sound.
        steps: Sampling steps in a call, with guidance.
        chunks: Latents in a chunk, the overlap not counted.
        repeats: Timed calls.
    """
    autoencoder, device = model.autoencoder, model.device
    conditioning: Conditioning = model.conditioner(prepared)
    items = len(conditioning.cross)
    shape = (autoencoder.latent_channels, frames)
    noise = initial_noise(shape, list(range(items))).to(device)
    latents = noise.to(autoencoder.dtype)

    own = process(model.objective)

    def diffuse() -> Tensor:
        sigmas = polyexponential(steps, SIGMA_MIN, SIGMA_MAX)
        transformer = ConditionedTransformer(
            model.transformer,
            conditioning,
            negative=None,
            times=map(own.time, sigmas),
            frames=frames,
        )
        velocity = GuidedVelocity(
            pair=transformer.pair, conditional=transformer.conditional, scale=GUIDANCE_SCALE
        )
        return get_sampler(SAMPLER)(own.denoiser(velocity), noise * sigmas[0], sigmas)

    def decode_whole() -> Tensor:
        with parametrize.cached():  # as chunks are decoded
            return autoencoder.decode(latents, chunked=False)

    seconds = items * frames * autoencoder.downsampling / autoencoder.sample_rate
    stages = [
        measure_stage("text encoding", lambda: model.conditioner(prepared), device=device,
                      repeats=repeats, unit="prompts/s", amount=items),
        measure_stage("diffusion", diffuse, device=device, repeats=repeats, unit="steps/s",
                      amount=steps),
        measure_stage("decoding, whole", decode_whole,
                      device=device, repeats=repeats, unit="x real time", amount=seconds),
    ]  # fmt: skip
    for core in chunks:
        name = f"decoding, chunks of {core}"
        stages.append(
            measure_stage(name, lambda core=core: autoencoder.decode(latents, core=core),  # type: ignore[misc]
                          device=device, repeats=repeats, unit="x real time", amount=seconds)
        )  # fmt: skip
    return stages
