"""Sounds longer than the window, and prompts that change along the way."""

import math
from collections.abc import Mapping, Sequence
from typing import Unpack

import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.given import GivenAudio, as_audio
from stable_audio_open.diffusion.denoiser import Denoiser, noised
from stable_audio_open.diffusion.samplers import initial_noise
from stable_audio_open.editing.lengths import LONGEST
from stable_audio_open.editing.places import placed
from stable_audio_open.editing.timeline import (
    Checked,
    PromptsOverTime,
    check_timelines,
    first_prompts,
    presences,
    prompts_at,
)
from stable_audio_open.editing.windows import Window, least_overlap, starts_on_a_line, windowed
from stable_audio_open.generate import Generated, LatentOptions
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.inference import usable
from stable_audio_open.request.given_prompts import GivenNegatives
from stable_audio_open.request.request import STRENGTH, Item, check_request, check_start
from stable_audio_open.request.sampling_settings import Sampling, SamplingOptions, resolve_sampling
from stable_audio_open.sampling import (
    StepCallback,
    check_watching,
    prompted_denoiser,
    run_sampler,
    without_idle_negatives,
)
from stable_audio_open.waveforms import check_fade, decode_audio, encode_audio


@torch.inference_mode()
def generate_long(
    model: LatentDiffusion,
    prompt: PromptsOverTime,
    *,
    duration: float,
    trim: bool = True,
    fade: float | None = None,
    **options: Unpack[LatentOptions],
) -> Audio:
    """Generate a sound of any length by windows that are denoised jointly, and decode it.

    Beyond latents and samples it takes the memory of one window.

    Args:
        model: The trained system, in evaluation mode.
        prompt: See `long_latents`.
        duration: Seconds of sound, at most an hour.
        trim: Cut at `duration`; else return whole latent frames.
        fade: Seconds of the fade-out at the end; 5 ms when None.
        options: See `long_latents`.

    Returns:
        Samples `[batch, channels, time]`, with the sample rate and the seed of each item.

    Raises:
        ValueError: When an argument is out of its range.
        FloatingPointError: When the model gives NaN.
        StoppedError: When the callback has stopped the run.
    """
    fade = check_fade(fade)
    latents, samples, seeds = long_latents(model, prompt, duration=duration, **options)
    kept = samples if trim else None
    return decode_audio(model, latents, samples=kept, seeds=seeds, fade=fade)


@torch.inference_mode()
def long_latents(
    model: LatentDiffusion,
    prompt: PromptsOverTime,
    *,
    duration: float,
    seconds_start: float = 0.0,
    window: float | None = None,
    conditions: Mapping[str, float | Sequence[float]] | None = None,
    negative_prompt: GivenNegatives | None = None,
    seed: int | Sequence[int] | None = None,
    init_audio: GivenAudio | None = None,
    init_strength: float = STRENGTH,
    init_noise_level: float | None = None,
    progress: bool = True,
    callback: StepCallback | None = None,
    **options: Unpack[SamplingOptions],
) -> Generated:
    """Generate the latents of a sound of any length.

    The arguments are those of `generate_latents`, but for these:

    Args:
        model: The trained system, in evaluation mode.
        prompt: A text, texts with weights, pairs `(seconds, text)` of prompts that change along the
            way, or one of these per item of a batch. At a change, one prompt is crossfaded into
            the next over a quarter of the window.
        duration: Seconds of sound, at most an hour.
        seconds_start: Where in an imagined longer recording the sound starts, in seconds.
        window: Seconds of a window, at most the model's, which is the default.
        conditions: The other numbers that the model is conditioned on.
        negative_prompt: What guidance leads away from; nothing in particular when None.
        seed: Seed of the first item, from which the others count up; or one per item.
        init_audio: Sound to vary.
        init_strength: 0..1, how much of `init_audio` is replaced.
        init_noise_level: The sigma to start at, instead of `init_strength`.
        progress: Show a progress bar.
        callback: Called after each step, with the latents of the whole.
        options: How to sample.

    Returns:
        Latents of the whole, at least of a window, the samples of each item that are its sound,
        and its seed.

    Raises:
        ValueError: When an argument is out of its range.
        StoppedError: When the callback has stopped the run.
    """
    if not 0 < duration <= LONGEST:
        raise ValueError(
            f"duration must be above 0 and at most {LONGEST:g} seconds, got {duration}"
        )
    check_watching(progress, callback)
    timelines = check_timelines(prompt, duration=duration)
    request = check_request(
        model,
        first_prompts(prompt),
        duration=None,
        seconds_start=seconds_start,
        window=window,
        conditions=conditions,
        negative_prompt=negative_prompt,
        seed=seed,
    )
    sampling = resolve_sampling(model, options, frames=request.frames, items=len(request.items))
    init_strength, init_noise_level = check_start(
        init_strength, init_noise_level, audio=init_audio is not None
    )
    samples = round(duration * model.sample_rate)
    if samples < 1:
        raise ValueError(
            f"duration must be at least one sample of 1/{model.sample_rate} seconds, got {duration}"
        )
    items = [
        item._replace(seconds_total=item.seconds_start + duration, samples=samples)
        for item in request.items
    ]
    frames = max(math.ceil(samples / model.autoencoder.downsampling), request.frames)
    shape, seeds = (model.autoencoder.latent_channels, frames), request.seeds
    wanted = [samples] * len(seeds)
    clean = torch.zeros((len(seeds), *shape), device=model.device)
    if init_audio is not None:
        most = frames * model.autoencoder.downsampling / model.sample_rate
        sound = as_audio(
            init_audio, "init_audio", channels=model.autoencoder.audio_channels, most=most
        )
        if init_strength < 1 or init_noise_level is not None:
            clean += encode_audio(model, sound, frames, items=len(seeds))
        if init_strength == 0 and init_noise_level is None:
            return Generated(usable(clean), wanted, seeds)
        sampling = sampling.varying(init_strength, init_noise_level)

    x = noised(clean, initial_noise(shape, seeds).to(model.device), sampling.sigmas[0])
    denoiser = long_denoiser(
        model, items, timelines, sampling, frames=frames, window=request.frames
    )
    latents = run_sampler(
        model, denoiser, x, sampling, seeds=seeds, progress=progress, callback=callback
    )
    return Generated(usable(latents), wanted, seeds)


def long_denoiser(
    model: LatentDiffusion,
    items: Sequence[Item],
    timelines: Sequence[Checked],
    sampling: Sampling,
    *,
    frames: int,
    window: int,
) -> Denoiser:
    """Return the guided denoiser of sounds of any length.

    Each window is told its place in the whole, see `placed`.

    Args:
        model: The system.
        items: What each item is conditioned on, its seconds those of the whole.
        timelines: Each item's prompts.
        sampling: Guidance, and the noise levels whose timesteps are embedded beforehand.
        frames: Latent frames of the whole.
        window: Latent frames of a window.
    """
    frame_seconds = model.autoencoder.downsampling / model.sample_rate
    shares = presences(
        timelines,
        frames=frames,
        frame_seconds=frame_seconds,
        crossfade=least_overlap(window),
        ring=False,
    )
    items = without_idle_negatives(items, sampling)
    windows: list[Window] = []
    for start in starts_on_a_line(frames, window=window):
        here = [
            placed(model, item, offset=start * frame_seconds, window=window * frame_seconds)
            for item in items
        ]
        for number, share in enumerate(shares):
            if share is not None and not share[..., start : start + window].any():
                continue
            texts = prompts_at(timelines, number)
            told = [item._replace(prompt=text) for item, text in zip(here, texts, strict=True)]
            denoiser = prompted_denoiser(model, told, sampling, frames=window, keep=False)
            windows.append(Window(start, denoiser, share))
    return windowed(windows, frames=frames, window=window)
