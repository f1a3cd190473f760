"""The story: prompt -> conditioning -> noise -> sampler -> latents -> waveform (section 2.3)."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import check_flag
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.given import GivenAudio, as_audio
from stable_audio_open.diffusion.denoiser import noised
from stable_audio_open.diffusion.samplers import initial_noise
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.inference import usable
from stable_audio_open.request.given_adapters import GivenAdapters
from stable_audio_open.request.given_guidance import GivenScale
from stable_audio_open.request.given_prompts import GivenNegatives, GivenPrompts
from stable_audio_open.request.request import STRENGTH, check_request, check_start
from stable_audio_open.request.sampling_settings import SamplingOptions, resolve_sampling
from stable_audio_open.sampling import StepCallback, check_watching, prompted_denoiser, run_sampler
from stable_audio_open.waveforms import check_fade, decode_audio, encode_audio


class LatentOptions(SamplingOptions, total=False):
    """Arguments of `generate_latents` by keyword, for sounds of any duration."""

    seconds_start: float
    window: float | None
    conditions: Mapping[str, float | Sequence[float]] | None
    negative_prompt: GivenNegatives | None
    seed: int | Sequence[int] | None
    init_audio: GivenAudio | None
    init_strength: float
    init_noise_level: float | None
    progress: bool
    callback: StepCallback | None


class GenerateOptions(LatentOptions, total=False):
    """Arguments of `generate_latents` by keyword."""

    duration: float | Sequence[float] | None


class Generated(NamedTuple):
    """Latents, and what to decode of them."""

    latents: Float[Tensor, "batch latent_channels frames"]
    samples: list[int]
    """Samples of each item that were asked for."""
    seeds: list[int]


@torch.inference_mode()
def generate(
    model: LatentDiffusion,
    prompt: GivenPrompts,
    *,
    trim: bool = True,
    fade: float | None = None,
    **options: Unpack[GenerateOptions],
) -> Audio:
    """Generate audio from text: latents by `generate_latents`, decoded.

    Args:
        model: The trained system, in evaluation mode.
        prompt: See `generate_latents`.
        trim: Cut at `duration`, and decode no more than that needs; else return the whole window.
        fade: Seconds of the fade-out that saving gives an end that was cut: 5 ms when None, 0 is
            none.
        options: See `generate_latents`.

    Returns:
        Samples `[batch, channels, time]`, with the sample rate and the seed of each item.

    Raises:
        ValueError: When an argument is out of its range.
        FloatingPointError: When the model gives NaN.
        StoppedError: When the callback has stopped the run.
    """
    check_flag(trim, "trim")
    fade = check_fade(fade)
    latents, samples, seeds = generate_latents(model, prompt, **options)
    wanted = samples if trim else None
    return decode_audio(model, latents, samples=wanted, seeds=seeds, fade=fade)


@torch.inference_mode()
def generate_latents(
    model: LatentDiffusion,
    prompt: GivenPrompts,
    *,
    duration: float | Sequence[float] | None = None,
    seconds_start: float = 0.0,
    window: float | None = None,
    conditions: Mapping[str, float | Sequence[float]] | None = None,
    negative_prompt: GivenNegatives | None = None,
    steps: int | None = None,
    guidance_scale: GivenScale | None = None,
    guidance_rescale: float = 0.0,
    guidance_interval: tuple[float, float] = (0.0, math.inf),
    guidance_parallel: float = 1.0,
    guidance_norm: float = math.inf,
    guidance_momentum: float = 0.0,
    sampler: str | None = None,
    schedule: str | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    adapters: GivenAdapters | None = None,
    seed: int | Sequence[int] | None = None,
    init_audio: GivenAudio | None = None,
    init_strength: float = STRENGTH,
    init_noise_level: float | None = None,
    progress: bool = True,
    callback: StepCallback | None = None,
) -> Generated:
    """Generate latents from text.

    What is None is the model's default: for a v-model the paper's, DPM-Solver++ for 100 steps with
    guidance scale 7 (section 4.2); for a rectified flow, Euler's method for 50 steps with 4; for
    one that was trained for few steps (`rf_denoiser`), ping-pong for 8 steps without guidance.

    Args:
        model: The trained system, in evaluation mode.
        prompt: A text, or one per item of a batch; instead of a text, several with weights,
            `[("rain", 0.7), ("fire", 0.3)]`, whose velocities are added in these shares.
        duration: Seconds of sound, above 0 and at most the window, or one per item; the whole
            window when None.
        seconds_start: Where in an imagined longer recording the window starts, in seconds; of
            models that are conditioned on it alone.
        window: Seconds to work on, at most the model's window, which is the default. The rest of
            the window after `duration` is silence, so a shorter one is faster; the model was
            trained on whole windows.
        conditions: The other numbers that the model is conditioned on, such as `{"bpm": 120}`:
            one for all items, or one per item.
        negative_prompt: What guidance leads away from, in the forms of `prompt`; None, for all
            or for an item, is nothing in particular.
        steps: Sampling steps, at least 1.
        guidance_scale: Classifier-free guidance; 1 switches it off. A number, one per item, or
            points `[(sigma, scale), ...]` between which it is linear in the model's time.
        guidance_rescale: 0..1, how far guidance keeps the conditional velocity's spread.
        guidance_interval: Lowest and highest noise level at which guidance applies: in sigma, and
            for flows in t, which is 0..1.
        guidance_parallel: Of adaptive projected guidance (APG, Sadat et al. 2024): 0..1, how much
            is kept of what guidance adds along x0 itself; 1 is plain guidance.
        guidance_norm: Of APG: longest root mean square of what guidance adds at scale 2.
        guidance_momentum: Of APG: share of the step before that is added to this one's.
        sampler: See `sampler_names()`; `k-diffusion:NAME` with that extra.
        schedule: `polyexponential` (rho 1) or `karras` (rho 7); `log-snr` or `linear` (in t), which
            begin with pure noise and are the flows'.
        sigma_min: Last noise level before 0; of `log-snr`, the one in whose place 0 comes.
        sigma_max: First noise level.
        adapters: How adapters that are loaded take part in this call, instead of what
            `set_adapters` said: `{"name": 0.5}`, in the forms that it takes.
        seed: Seed of the first item, from which the others count up; or one per item; random when
            None.
        init_audio: Sound to vary: one item or one per prompt, as an `Audio`, a path, a tensor
            `[channels, time]` with its rate, or a rate with an array `[time, channels]`.
        init_strength: 0..1, how much of `init_audio` is replaced: sampling starts at the noise
            level sigma = tan(pi/2 init_strength t), where t is the time of the first level, and
            takes all steps from there. 0 gives its reconstruction, 1 leaves nothing of it.
        init_noise_level: The sigma to start at, instead of `init_strength`.
        progress: Show a progress bar.
        callback: Called after each step with a `Step`: its number, the clean latents as predicted
            there, and a function that decodes them. Where it returns False, the run ends.

    Returns:
        Latents `[batch, latent_channels, frames]` of the window, the samples of each item that are
        its sound, and its seed.

    Raises:
        ValueError: When an argument is out of its range.
        StoppedError: When the callback has stopped the run.
    """
    check_watching(progress, callback)
    request = check_request(
        model,
        prompt,
        duration=duration,
        seconds_start=seconds_start,
        window=window,
        conditions=conditions,
        negative_prompt=negative_prompt,
        seed=seed,
    )
    sampling = resolve_sampling(
        model,
        {
            "steps": steps,
            "guidance_scale": guidance_scale,
            "guidance_rescale": guidance_rescale,
            "guidance_interval": guidance_interval,
            "guidance_parallel": guidance_parallel,
            "guidance_norm": guidance_norm,
            "guidance_momentum": guidance_momentum,
            "sampler": sampler,
            "schedule": schedule,
            "sigma_min": sigma_min,
            "sigma_max": sigma_max,
            "adapters": adapters,
        },
        frames=request.frames,
        items=len(request.items),
    )
    init_strength, init_noise_level = check_start(
        init_strength, init_noise_level, audio=init_audio is not None
    )
    shape, seeds = (model.autoencoder.latent_channels, request.frames), request.seeds
    samples = [item.samples for item in request.items]
    clean = torch.zeros((len(seeds), *shape), device=model.device)
    if init_audio is not None:
        window = request.frames * model.autoencoder.downsampling / model.sample_rate
        sound = as_audio(
            init_audio, "init_audio", channels=model.autoencoder.audio_channels, most=window
        )
        if init_strength < 1 or init_noise_level is not None:
            clean += encode_audio(model, sound, request.frames, items=len(seeds))
        if init_strength == 0 and init_noise_level is None:
            return Generated(usable(clean), samples, seeds)
        sampling = sampling.varying(init_strength, init_noise_level)

    x = noised(clean, initial_noise(shape, seeds).to(model.device), sampling.sigmas[0])
    denoiser = prompted_denoiser(model, request.items, sampling, frames=request.frames)
    latents = run_sampler(
        model, denoiser, x, sampling, seeds=seeds, progress=progress, callback=callback
    )
    return Generated(usable(latents), samples, seeds)
