"""Inpainting and continuation without retraining: what is kept stays, the rest is generated."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

import torch
import torch.nn.functional as F

from stable_audio_open.arguments.checks import check_flag, check_number, rounded_down
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.finishing import FADE
from stable_audio_open.audio.given import GivenAudio
from stable_audio_open.editing.span_generation import (
    Conditions,
    Edges,
    Sounds,
    generate_spans,
    sound_to_edit,
)
from stable_audio_open.editing.spans import Span, Spans, check_spans
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request.given_prompts import (
    GivenNegatives,
    GivenPrompts,
)
from stable_audio_open.request.sampling_settings import SamplingOptions
from stable_audio_open.sampling import StepCallback
from stable_audio_open.waveforms import check_fade

RESAMPLING = 2
"""With two, edges are nearer to what was removed than a plain generation's in 16 of 20 cases, with
one in 11 (BENCHMARKS.md)."""
CROSSFADE = 0.05
"""Seconds of the crossfades at the edges of a span."""


@torch.inference_mode()
def inpaint(
    model: LatentDiffusion,
    audio: GivenAudio,
    prompt: GivenPrompts,
    *,
    spans: Spans,
    conditions: Conditions | None = None,
    negative_prompt: GivenNegatives | None = None,
    seed: int | Sequence[int] | None = None,
    edges: Edges = "mirrored",
    resampling: int = RESAMPLING,
    crossfade: float = CROSSFADE,
    progress: bool = True,
    callback: StepCallback | None = None,
    **options: Unpack[SamplingOptions],
) -> Audio:
    """Generate spans of a sound anew; around them it stays as it is.

    Args:
        model: The trained system, in evaluation mode.
        audio: One sound, or one per prompt, as an `Audio`, a path, a tensor `[channels, time]` with
            its rate, or a rate with an array `[time, channels]`. It is brought to the model's
            channels and rate. Of a sound longer than the window, a window around the spans is
            worked on.
        prompt: What the whole is to be, not the spans alone: a text, texts with weights, or one of
            these per item of a batch.
        spans: (start, end) of each, in seconds; the same for all items.
        conditions: The other numbers that the model is conditioned on, as of `generate`.
        negative_prompt: What guidance leads away from; nothing in particular when None.
        seed: Seed of the first item, from which the others count up; or one per item; random when
            None.
        edges: What the latents beside a span hold, see `Edges`; the removed sound never counts.
        resampling: Times that each ten steps are gone through, with fresh noise in between, which
            fits what is new to what is kept (Lugmayr et al. 2022); 1 is twice as fast as 2.
        crossfade: Seconds of the crossfades at the edges, inside a span.
        progress: Show a progress bar.
        callback: Called after each step with a `Step`, as of `generate`.
        options: How to sample, as in `generate`.

    Returns:
        Sounds that equal the given ones outside of the spans, sample for sample at the model's
        rate, and are as long. Where a span ends with the sound, saving gives its new end a fade of
        5 ms; a loop whose ends are kept stays one.

    Raises:
        TypeError: When the audio or a span is of no form that is known.
        ValueError: When an argument is out of its range.
        FloatingPointError: When the model gives NaN.
        StoppedError: When the callback has stopped the run.
    """
    sound, rate = sound_to_edit(model, audio), model.sample_rate
    found = check_spans(spans, samples=min(sound.lengths), sample_rate=rate)
    inpainted = generate_spans(
        model,
        sound,
        found,
        prompt,
        conditions=conditions,
        negative_prompt=negative_prompt,
        seed=seed,
        edges=edges,
        resampling=resampling,
        crossfade=crossfade,
        progress=progress,
        callback=callback,
        options=options,
    )
    first, last = found[0], found[-1]
    if last.end == max(sound.lengths):  # a new end, which is cut off
        return replace(inpainted, fade=min(FADE, (last.end - last.start) / rate))
    is_loop = isinstance(audio, Audio) and audio.loop and audio.sample_rate == rate
    return replace(inpainted, loop=is_loop and first.start > 0)


@torch.inference_mode()
def extend(
    model: LatentDiffusion,
    audio: GivenAudio,
    prompt: GivenPrompts,
    *,
    seconds: float,
    before: bool = False,
    conditions: Conditions | None = None,
    negative_prompt: GivenNegatives | None = None,
    seed: int | Sequence[int] | None = None,
    edges: Edges = "mirrored",
    resampling: int = RESAMPLING,
    crossfade: float = CROSSFADE,
    fade: float | None = None,
    progress: bool = True,
    callback: StepCallback | None = None,
    **options: Unpack[SamplingOptions],
) -> Audio:
    """Continue a sound: generate what comes behind it, or before it.

    Args:
        model: The trained system, in evaluation mode.
        audio: One sound, or one per prompt, in any form that `inpaint` takes; items of a batch are
            of one length.
        prompt: What the whole is to be: a text, texts with weights, or one of
            these per item of a batch.
        seconds: Length of what is added. With as much of the sound as fits, it is worked on in one
            window, so it is shorter than that.
        before: Put it before the sound, not behind.
        conditions: As of `inpaint`, and so are the others.
        negative_prompt: What guidance leads away from.
        seed: Seed of the first item, or one per item.
        edges: What the latents at the joint hold.
        resampling: Times that each ten steps are gone through.
        crossfade: Seconds of the crossfade at the joint, in what is new.
        fade: Seconds of the fade-out that saving gives the new end, at most all of what is added:
            5 ms when None, 0 is none.
        progress: Show a progress bar.
        callback: Called after each step with a `Step`.
        options: How to sample, as in `generate`.

    Returns:
        The given sounds, sample for sample at the model's rate, with what is added.

    Raises:
        TypeError: When the audio is of no form that is known.
        ValueError: When an argument is out of its range.
        FloatingPointError: When the model gives NaN.
        StoppedError: When the callback has stopped the run.
    """
    check_flag(before, "before")
    wanted = check_fade(fade)
    if before and fade:
        raise ValueError(
            f"what comes before a sound leaves its end as it is, got fade {fade:g}; leave it out"
        )
    added = _added_samples(model, seconds)
    new = added / model.sample_rate
    if fade is not None and wanted > new:
        raise ValueError(
            f"fade {fade:g} reaches into the sound itself, which stays as it is; give at most the "
            f"{rounded_down(new)} s that are added"
        )
    samples, lengths = sound_to_edit(model, audio)
    if len(set(lengths)) > 1:
        shown = ", ".join(f"{length / model.sample_rate:.3f}" for length in lengths)
        raise ValueError(
            f"the items of a batch are {shown} s long; extend takes items of one length, so give "
            "them one by one"
        )
    length = lengths[0]
    padded = F.pad(samples[..., :length], (added, 0) if before else (0, added))
    span = Span(0, added) if before else Span(length, length + added)
    extended = generate_spans(
        model,
        Sounds(padded, tuple(one + added for one in lengths)),
        [span],
        prompt,
        conditions=conditions,
        negative_prompt=negative_prompt,
        seed=seed,
        edges=edges,
        resampling=resampling,
        crossfade=crossfade,
        progress=progress,
        callback=callback,
        options=options,
    )
    return extended if before else replace(extended, fade=min(wanted, new))


def _added_samples(model: LatentDiffusion, seconds: float) -> int:
    """Return how many samples a sound is extended by."""
    seconds, longest = check_number(seconds, "seconds"), model.window_seconds
    # Windows begin at whole frames, so that one of them is left to the sound.
    most = model.window_samples - model.autoencoder.downsampling
    added = round(seconds * model.sample_rate) if 0 < seconds < longest else 0
    if not 1 <= added <= most:
        raise ValueError(
            "seconds must be above 0 and below the model's window of "
            f"{rounded_down(longest, 2)} s, in which some of the sound has its place too, got "
            f"{seconds:g}; give at most "
            f"{rounded_down(most / model.sample_rate)}"
        )
    return added
