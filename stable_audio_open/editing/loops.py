"""Loops: sounds whose end goes on at their start."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.circular import close_ring, resample_ring
from stable_audio_open.audio.level.silence import is_silent
from stable_audio_open.diffusion.denoiser import Denoiser, noised
from stable_audio_open.diffusion.samplers import initial_noise
from stable_audio_open.editing.lengths import LONGEST
from stable_audio_open.editing.timeline import (
    Checked,
    PromptsOverTime,
    check_timelines,
    first_prompts,
    presences,
    prompts_at,
)
from stable_audio_open.editing.windows import (
    Window,
    golden_offsets,
    least_overlap,
    starts_on_a_ring,
    windowed,
)
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.inference import usable
from stable_audio_open.request.given_prompts import GivenNegatives
from stable_audio_open.request.request import Item, check_request, check_window
from stable_audio_open.request.sampling_settings import Sampling, SamplingOptions, resolve_sampling
from stable_audio_open.sampling import (
    Step,
    StepCallback,
    check_watching,
    prompted_denoiser,
    run_sampler,
    without_idle_negatives,
)
from stable_audio_open.waveforms import decode_audio

logger = logging.getLogger(__name__)

SHORTEST = 0.1
"""Seconds of the shortest loop."""
MOST_OFF_PITCH = 0.006
"""A loop is brought to its length by its pitch where that changes by so much at most: a tenth of a
semitone. From 4 s of the published model on it always is enough."""
CLOSING = 0.01
"""Seconds over which the surplus of any other loop is crossfaded into its head, at least."""


class Ring(NamedTuple):
    """The latent frames that a loop is made of, and its length."""

    frames: int
    samples: int
    """Of the loop, whether they are a multiple of a frame's or not."""
    closed: bool
    """Its surplus is crossfaded into the head; else the ring is resampled."""


@torch.inference_mode()
def generate_loop(
    model: LatentDiffusion,
    prompt: PromptsOverTime,
    *,
    duration: float | None = None,
    window: float | None = None,
    conditions: Mapping[str, float | Sequence[float]] | None = None,
    negative_prompt: GivenNegatives | None = None,
    seed: int | Sequence[int] | None = None,
    progress: bool = True,
    callback: StepCallback | None = None,
    **options: Unpack[SamplingOptions],
) -> Audio:
    """Generate a sound that can be repeated without a seam, shorter or longer than the window.

    Windows go around a ring of latents, and begin at another place at each step. A loop that is
    shorter than the window is tiled to fill it. Of prompts for sounds that begin and end, loops may
    be silent, which is warned of. The arguments are those of `generate`, but for
    these:

    Args:
        model: The trained system, in evaluation mode.
        prompt: A text, texts with weights, pairs `(seconds, text)` of prompts that change along the
            way (and back to the first one at the end), or one of these per item of a batch.
        duration: Seconds of the loop, which has exactly `round(duration * sample_rate)` samples;
            the window when None.
        window: Seconds of a window, at most the model's, which is the default.
        conditions: The other numbers that the model is conditioned on.
        negative_prompt: What guidance leads away from; nothing in particular when None.
        seed: Seed of the first item, from which the others count up; or one per item.
        progress: Show a progress bar.
        callback: Called after each step, with the latents of the ring.
        options: How to sample.

    Returns:
        Samples `[batch, channels, time]` of one turn, with the sample rate and the seed of each
        item.

    Raises:
        ValueError: When an argument is out of its range.
        FloatingPointError: When the model gives NaN.
        StoppedError: When the callback has stopped the run.
    """
    hop, rate = model.autoencoder.downsampling, model.sample_rate
    if duration is None:
        duration = (
            model.window_frames * hop / rate if window is None else check_window(model, window)
        )
    ring = plan_ring(duration, sample_rate=rate, hop=hop)
    check_watching(progress, callback)
    timelines = check_timelines(prompt, duration=duration)
    request = check_request(
        model,
        first_prompts(prompt),
        duration=None,
        seconds_start=0.0,
        window=window,
        conditions=conditions,
        negative_prompt=negative_prompt,
        seed=seed,
    )
    sampling = resolve_sampling(model, options, frames=request.frames, items=len(request.items))
    shape, seeds = (model.autoencoder.latent_channels, ring.frames), request.seeds
    noise = initial_noise(shape, seeds).to(model.device)
    x = noised(torch.zeros_like(noise), noise, sampling.sigmas[0])
    denoiser = ring_denoiser(
        model, request.items, timelines, sampling, frames=ring.frames, window=request.frames
    )

    def with_ring(step: Step) -> bool | None:
        def preview() -> Audio:
            return decode_ring(model, step.latents, ring, seeds=seeds)

        assert callback is not None
        return callback(replace(step, preview=preview))

    latents = run_sampler(
        model,
        denoiser,
        x,
        sampling,
        seeds=seeds,
        progress=progress,
        callback=None if callback is None else with_ring,
    )
    loop = decode_ring(model, latents, ring, seeds=seeds)
    for index, sound in enumerate(loop.samples):
        if is_silent(sound):
            logger.warning(
                "item %d is silent: a sound that begins and ends has no place in a loop; describe "
                "one that goes on, such as a drone or a drum loop",
                index,
            )
    return loop


def plan_ring(duration: float, *, sample_rate: int, hop: int) -> Ring:
    """Choose the ring that a loop is made of.

    Args:
        duration: Seconds of the loop.
        sample_rate: Samples per second.
        hop: Samples of a latent frame.

    Raises:
        ValueError: When it is too short or too long.
    """
    closing = math.ceil(CLOSING * sample_rate)
    # What is faded into the head is at most half of the loop.
    shortest = max(SHORTEST, 2 * (hop + closing) / sample_rate)
    if not shortest <= duration <= LONGEST:
        raise ValueError(
            f"a loop must last {shortest:.3g} to {LONGEST:g} seconds, got {duration:g}"
        )
    samples = round(duration * sample_rate)
    nearest = round(samples / hop)
    if abs(nearest * hop / samples - 1) <= MOST_OFF_PITCH:
        return Ring(nearest, samples, closed=False)
    return Ring(math.ceil((samples + closing) / hop), samples, closed=True)


def ring_denoiser(
    model: LatentDiffusion,
    items: Sequence[Item],
    timelines: Sequence[Checked],
    sampling: Sampling,
    *,
    frames: int,
    window: int,
) -> Denoiser:
    """Return the guided denoiser of loops; to the model every window is a whole sound.

    Args:
        model: The system.
        items: What each item is conditioned on, its seconds those of a window.
        timelines: Each item's prompts.
        sampling: Guidance, and the noise levels of the run.
        frames: Latent frames of the ring.
        window: Latent frames of a window.
    """
    shares = presences(
        timelines,
        frames=frames,
        frame_seconds=model.autoencoder.downsampling / model.sample_rate,
        crossfade=min(least_overlap(window), frames // 2),
        ring=True,
    )
    starts = starts_on_a_ring(frames, window=window)
    items = without_idle_negatives(items, sampling)
    windows: list[Window] = []
    for number, share in enumerate(shares):
        texts = prompts_at(timelines, number)
        told = [item._replace(prompt=text) for item, text in zip(items, texts, strict=True)]
        denoiser = prompted_denoiser(model, told, sampling, frames=window)
        windows += [Window(start, denoiser, share) for start in starts]
    return windowed(
        windows, frames=frames, window=window, offset=golden_offsets(sampling.sigmas, frames)
    )


def decode_ring(
    model: LatentDiffusion,
    latents: Float[Tensor, "batch latent_channels frames"],
    ring: Ring,
    *,
    seeds: Sequence[int],
) -> Audio:
    """Decode a ring of latents to a loop of exactly its length.

    Raises:
        FloatingPointError: When the model gives NaN or infinite samples.
    """
    margin, hop = model.autoencoder.decoder_margin, model.autoencoder.downsampling
    around = torch.arange(-margin, ring.frames + margin, device=latents.device) % ring.frames
    audio = decode_audio(model, latents[..., around], samples=None, seeds=seeds)
    turn = audio.samples[..., margin * hop : (margin + ring.frames) * hop]
    fit = close_ring if ring.closed else resample_ring
    samples = usable(fit(turn, ring.samples).contiguous())
    return Audio(samples, audio.sample_rate, audio.seeds, loop=True)


def with_tempo(prompt: PromptsOverTime, bpm: float) -> PromptsOverTime:
    """Return a prompt, or all of them, with the tempo; those that tell one stay as they are."""

    def told(part: object) -> object:
        """Texts are found wherever they are: alone, beside a weight, or beside their second."""
        if isinstance(part, list | tuple):
            parts = map(told, part)
            return tuple(parts) if isinstance(part, tuple) else list(parts)
        if not isinstance(part, str) or not part.strip():  # which is refused as it was given
            return part
        return part if re.search(r"bpm\b", part, re.IGNORECASE) else f"{part}, {bpm:g} BPM"

    return told(prompt)  # type: ignore[return-value]
