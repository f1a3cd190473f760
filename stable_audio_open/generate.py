"""The story: prompt -> conditioning -> noise -> sampler -> latents -> waveform (section 2.3)."""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.channels import to_channels
from stable_audio_open.audio.resample import resample
from stable_audio_open.diffusion.conditioned import ConditionedTransformer
from stable_audio_open.diffusion.denoiser import VDenoiser
from stable_audio_open.diffusion.guidance import GuidedVelocity
from stable_audio_open.diffusion.samplers import StepNoise, get_sampler, initial_noise
from stable_audio_open.diffusion.schedule import time_from_sigma
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.progress import step_progress
from stable_audio_open.request import check_request, noise_levels, truncate_schedule
from stable_audio_open.settings import (
    GUIDANCE_SCALE,
    SAMPLER,
    SCHEDULE,
    SIGMA_MAX,
    SIGMA_MIN,
    STEPS,
)


@torch.inference_mode()
def generate(
    model: LatentDiffusion,
    prompt: str | Sequence[str],
    *,
    duration: float | None = None,
    seconds_start: float = 0.0,
    window: float | None = None,
    negative_prompt: str | Sequence[str] | None = None,
    steps: int = STEPS,
    guidance_scale: float = GUIDANCE_SCALE,
    guidance_rescale: float = 0.0,
    guidance_interval: tuple[float, float] = (0.0, math.inf),
    sampler: str = SAMPLER,
    schedule: str = SCHEDULE,
    sigma_min: float = SIGMA_MIN,
    sigma_max: float = SIGMA_MAX,
    seed: int | Sequence[int] | None = None,
    init_audio: Audio | None = None,
    init_strength: float = 0.7,
    trim: bool = True,
    progress: bool = True,
    callback: Callable[[int, int, Tensor], None] | None = None,
) -> Audio:
    """Generate audio from text.

    The defaults are the paper's: DPM-Solver++ for 100 steps with guidance scale 7 (section 4.2).

    Args:
        model: The trained system, in evaluation mode.
        prompt: A text, or one per item of a batch.
        duration: Seconds of sound, above 0 and at most the window; the whole window when None.
        seconds_start: Where in an imagined longer recording the window starts, in seconds.
        window: Seconds to work on, at most the model's window, which is the default. The rest of
            the window after `duration` is silence, so a shorter one is faster; the model was
            trained on whole windows.
        negative_prompt: What guidance leads away from; nothing in particular when None.
        steps: Sampling steps, at least 1.
        guidance_scale: Classifier-free guidance; 1 switches it off.
        guidance_rescale: 0..1, how far guidance keeps the conditional velocity's spread.
        guidance_interval: Lowest and highest sigma at which guidance applies.
        sampler: See `sampler_names()`; `k-diffusion:NAME` with that extra.
        schedule: `polyexponential` (rho 1) or `karras` (rho 7).
        sigma_min: Last noise level before 0.
        sigma_max: First noise level.
        seed: Seed of the first item, from which the others count up; or one per item; random when
            None.
        init_audio: Sound to start from instead of pure noise, one item or one per prompt.
        init_strength: 0..1, how much of `init_audio` is replaced: the part of the noise schedule
            that is run, in logarithms of sigma.
        trim: Cut at `duration`, and decode no more than that needs; else return the whole window.
        progress: Show a progress bar.
        callback: Called after each step with the step (from 0), the steps, and the clean latents
            as predicted there.

    Returns:
        Samples `[batch, channels, time]`, with the sample rate and the seed of each item.

    Raises:
        ValueError: When an argument is out of its range.
        FloatingPointError: When the model gives NaN.
    """
    request = check_request(
        model,
        prompt,
        duration=duration,
        seconds_start=seconds_start,
        window=window,
        negative_prompt=negative_prompt,
        seed=seed,
    )
    sampler_function = get_sampler(sampler)
    sigmas = noise_levels(schedule, steps, sigma_min, sigma_max)

    conditioner, device = model.conditioner, model.device
    timing = {"seconds_start": request.seconds_start, "seconds_total": request.seconds_total}
    conditioning = conditioner(
        conditioner.prepare([{"prompt": text, **timing} for text in request.prompts])
    )
    negative = None
    if request.negatives is not None:
        negative = conditioner(
            conditioner.prepare([{"prompt": text, **timing} for text in request.negatives])
        ).cross

    shape = (model.autoencoder.latent_channels, request.frames)
    latents = torch.zeros((len(request.seeds), *shape), device=device)
    if init_audio is not None:
        latents = latents + _encode(model, init_audio, request.frames, items=len(latents))
        sigmas = truncate_schedule(sigmas, init_strength)
    x = latents + initial_noise(shape, request.seeds).to(device) * sigmas[0]

    transformer = ConditionedTransformer(
        model.transformer,
        conditioning,
        negative=negative,
        times=map(time_from_sigma, sigmas),
        frames=request.frames,
    )
    denoiser = VDenoiser(
        GuidedVelocity(
            pair=transformer.pair,
            conditional=transformer.conditional,
            scale=guidance_scale,
            rescale=guidance_rescale,
            interval=guidance_interval,
        )
    )
    with step_progress(len(sigmas) - 1, shown=progress) as advance:

        def after_step(step: int, count: int, x0: Tensor) -> None:
            advance()
            if callback is not None:
                callback(step, count, x0)

        noise = StepNoise(request.seeds, shape, device)
        latents = sampler_function(denoiser, x, sigmas, noise=noise, callback=after_step)

    samples = _decode(model, latents, request.samples if trim else None)
    if not samples.isfinite().all():
        raise FloatingPointError(
            f"the model gave NaN or infinite samples in {model.transformer.dtype}; load it with "
            "dtype='float32', or check the checkpoint"
        )
    return Audio(samples, model.sample_rate, tuple(request.seeds))


def _decode(
    model: LatentDiffusion,
    latents: Float[Tensor, "batch latent_channels frames"],
    samples: int | None,
) -> Float[Tensor, "batch channels time"]:
    """Decode the first samples, from no more latents than they depend on; None is all."""
    autoencoder = model.autoencoder
    if samples is not None:
        frames = math.ceil(samples / autoencoder.downsampling)
        latents = latents[..., : frames + autoencoder.decoder_margin]
    return autoencoder.decode(latents.to(autoencoder.dtype))[..., :samples].float().cpu()


def _encode(
    model: LatentDiffusion, audio: Audio, frames: int, *, items: int
) -> Float[Tensor, "batch latent_channels frames"]:
    """Encode the start of a sound, followed by silence, as the window's latents."""
    if len(audio) not in (1, items):
        raise ValueError(f"init_audio must hold 1 or {items} items, got {len(audio)}")
    if not audio.samples.isfinite().all():
        raise ValueError("init_audio holds NaN or infinite samples; repair the recording")
    autoencoder = model.autoencoder
    samples = to_channels(audio.samples, autoencoder.audio_channels)
    samples = resample(samples, audio.sample_rate, autoencoder.sample_rate)
    length = frames * autoencoder.downsampling
    samples = F.pad(samples[..., :length], (0, max(0, length - samples.shape[-1])))
    return autoencoder.encode(samples.to(autoencoder.device, autoencoder.dtype)).float()
