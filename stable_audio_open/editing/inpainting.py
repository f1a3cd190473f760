"""Inpainting and continuation without retraining: what is kept stays, the rest is generated."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypeAlias, Unpack, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.finishing import FADE
from stable_audio_open.audio.given import GivenAudio, as_audio
from stable_audio_open.audio.resample import resample, resampled_length
from stable_audio_open.diffusion.dit import inpainting_channels
from stable_audio_open.diffusion.samplers import initial_noise
from stable_audio_open.diffusion.samplers.resampling import Resampling
from stable_audio_open.editing.joining import LOOKAHEAD, joined, mirrored, recovered
from stable_audio_open.editing.kept import KeptDenoiser
from stable_audio_open.editing.spans import Span, Spans, check_spans, kept_frames, place_window
from stable_audio_open.given_prompts import (
    GivenNegatives,
    GivenPrompts,
    Prompt,
    check_negatives,
    check_prompts,
)
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request import Item, check_conditions, check_seeds
from stable_audio_open.sampling import StepCallback, prompted_denoiser, run_sampler
from stable_audio_open.sampling_settings import SamplingOptions, resolve_sampling
from stable_audio_open.waveforms import decode_audio

Edges = Literal["mirrored", "muted", "generated", "released"]
"""What is done with the latents beside a span, in which the autoencoder has seen what is removed:
it sees the mirror image of what is kept instead, or silence; or they are generated too; or they are
held until the last steps, and then generated."""

Conditions: TypeAlias = Mapping[str, float | Sequence[float]]
"""Numbers by name: one for all items, or one per item."""

RESAMPLING = 2
"""With two, edges are nearer to what was removed than a plain generation's in 16 of 20 cases, with
one in 11 (BENCHMARKS.md)."""
CROSSFADE = 0.05
"""Seconds of the crossfades at the edges of a span."""
LAST_STEPS = 0.2
"""Share of the steps in which `released` latents are generated."""


class Excerpt(NamedTuple):
    """The part of a batch of sounds that the model works on."""

    samples: Float[Tensor, "batch channels time"]
    """All of the sounds at the model's rate."""
    lengths: tuple[int, ...]
    """Samples of each item."""
    spans: list[Span]
    start: int
    """First sample of the window."""
    frames: int
    """Latent frames of the window."""


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
        rate, and are as long.

    Raises:
        TypeError: When the audio or a span is of no form that is known.
        ValueError: When an argument is out of its range.
        FloatingPointError: When the model gives NaN.
        StoppedError: When the callback has stopped the run.
    """
    sound, lengths = _at_the_models_rate(model, audio)
    found = check_spans(spans, samples=min(lengths), sample_rate=model.sample_rate)
    return _generated(
        model,
        _excerpt(model, sound, lengths, found),
        items=_items(
            model,
            prompt,
            conditions=conditions,
            negative_prompt=negative_prompt,
            seed=seed,
            lengths=lengths,
        ),
        edges=edges,
        resampling=Resampling(times=resampling),
        crossfade=crossfade,
        progress=progress,
        callback=callback,
        options=options,
    )


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
    longest = model.window_seconds
    added = round(seconds * model.sample_rate) if 0 < seconds < longest else 0
    if added < 1:
        raise ValueError(
            f"seconds must be above 0 and below the model's window of {longest:.2f} s, in which "
            f"some of the sound has its place too, got {seconds:g}"
        )
    sound, lengths = _at_the_models_rate(model, audio)
    if len(set(lengths)) > 1:
        shown = ", ".join(f"{length / model.sample_rate:.3f}" for length in lengths)
        raise ValueError(
            f"the items of a batch are {shown} s long; extend takes items of one length, so give "
            "them one by one"
        )
    length = lengths[0]
    sound = F.pad(sound[..., :length], (added, 0) if before else (0, added))
    span = Span(0, added) if before else Span(length, length + added)
    lengths = tuple(one + added for one in lengths)
    extended = _generated(
        model,
        _excerpt(model, sound, lengths, [span]),
        items=_items(
            model,
            prompt,
            conditions=conditions,
            negative_prompt=negative_prompt,
            seed=seed,
            lengths=lengths,
        ),
        edges=edges,
        resampling=Resampling(times=resampling),
        crossfade=crossfade,
        progress=progress,
        callback=callback,
        options=options,
    )
    return extended if before else replace(extended, fade=FADE)


def _at_the_models_rate(
    model: LatentDiffusion, audio: GivenAudio
) -> tuple[Float[Tensor, "batch channels time"], tuple[int, ...]]:
    """Return the samples of all items, with silence behind shorter ones, and their lengths."""
    sound = as_audio(audio, "audio", channels=model.autoencoder.audio_channels)
    rate = model.sample_rate
    samples = resample(sound.samples, sound.sample_rate, rate).detach().float().cpu().clone()
    lengths = tuple(resampled_length(n, sound.sample_rate, rate) for n in sound.lengths)
    for item, length in zip(samples, lengths, strict=True):
        item[..., length:] = 0
    return samples[..., : max(lengths)], lengths


def _items(
    model: LatentDiffusion,
    prompt: GivenPrompts,
    *,
    conditions: Conditions | None,
    negative_prompt: GivenNegatives | None,
    seed: int | Sequence[int] | None,
    lengths: Sequence[int],
) -> list[Item]:
    """Return an item per prompt or per sound, whichever are more."""
    prompts = check_prompts(prompt, "prompt")
    count = max(len(prompts), len(lengths))
    negatives: Sequence[Prompt | None] = [None]
    if negative_prompt is not None:
        negatives = check_negatives(negative_prompt)
    for given, name in ((prompts, "prompts"), (negatives, "negative prompts"), (lengths, "sounds")):
        if len(given) not in (1, count):
            raise ValueError(
                f"got {len(given)} {name} for {count} items; give one, or one per item"
            )
    seeds = check_seeds(seed, count)
    numbers = check_conditions(model, conditions, items=count)
    return [
        Item(
            prompt=prompts[index % len(prompts)],
            negative=negatives[index % len(negatives)],
            seed=seeds[index],
            seconds_start=0.0,
            seconds_total=lengths[index % len(lengths)] / model.sample_rate,
            samples=lengths[index % len(lengths)],
            conditions=numbers[index],
        )
        for index in range(count)
    ]


def _excerpt(
    model: LatentDiffusion,
    samples: Float[Tensor, "batch channels time"],
    lengths: tuple[int, ...],
    spans: list[Span],
) -> Excerpt:
    hop = model.autoencoder.downsampling
    frames = model.window_frames
    start = place_window(spans, samples=samples.shape[-1], window=frames * hop, hop=hop)
    return Excerpt(samples, lengths, spans, start, frames)


def _generated(
    model: LatentDiffusion,
    excerpt: Excerpt,
    *,
    items: Sequence[Item],
    edges: Edges,
    resampling: Resampling,
    crossfade: float,
    progress: bool,
    callback: StepCallback | None,
    options: SamplingOptions,
) -> Audio:
    """Generate the spans of an excerpt, and put them into the whole."""
    if edges not in get_args(Edges):
        raise ValueError(f"edges must be one of {', '.join(get_args(Edges))}, got {edges!r}")
    if not 0 <= crossfade < math.inf:
        raise ValueError(f"crossfade must be at least 0 seconds, got {crossfade}")
    sampling = resolve_sampling(model, options)
    autoencoder, rate = model.autoencoder, model.sample_rate
    offset = excerpt.start / rate
    items = [item._replace(seconds_start=offset) for item in items]
    seeds = [item.seed for item in items]

    latents = _kept_latents(model, excerpt, edges).to(model.device)
    kept = _mask(model, excerpt, widened=edges == "generated")
    known = KeptDenoiser(
        denoiser=prompted_denoiser(
            model, items, sampling, frames=excerpt.frames, known=inpainting_channels(latents, kept)
        ),
        latents=latents,
        kept=kept,
        released=_mask(model, excerpt, widened=True) if edges == "released" else None,
        release=sampling.sigmas[math.floor((1 - LAST_STEPS) * sampling.steps)],
    )
    noise = initial_noise((latents.shape[1], latents.shape[2]), seeds).to(model.device)
    clean = run_sampler(
        model,
        known,
        known.start(noise, sampling.sigmas[0]),
        sampling,
        seeds=seeds,
        progress=progress,
        callback=callback,
        resampling=resampling,
    )
    window = decode_audio(model, known.project(clean), samples=None, seeds=seeds).samples
    whole = excerpt.samples.expand(len(items), -1, -1)
    end = min(excerpt.start + excerpt.frames * autoencoder.downsampling, whole.shape[-1])
    new = torch.zeros_like(whole)
    new[..., excerpt.start : end] = window[..., : end - excerpt.start]
    inside = [Span(span.start - excerpt.start, span.end - excerpt.start) for span in excerpt.spans]
    for made, given in zip(new, whole, strict=True):
        part = slice(excerpt.start, end)
        made[:, part] = recovered(made[:, part], given[:, part], inside)
    out = joined(
        whole,
        new,
        excerpt.spans,
        crossfade=round(crossfade * rate),
        lookahead=round(LOOKAHEAD * rate),
    )
    lengths = tuple(item.samples for item in items)
    return Audio(out.clone(), rate, tuple(seeds), lengths)


def _kept_latents(
    model: LatentDiffusion, excerpt: Excerpt, edges: Edges
) -> Float[Tensor, "batch latent_channels frames"]:
    """Encode the window from a sound without what is removed, and with what lies around it."""
    autoencoder = model.autoencoder
    hop, margin = autoencoder.downsampling, autoencoder.encoder_margin
    reach = 0 if edges == "muted" else margin * hop
    samples = mirrored(excerpt.samples, excerpt.spans, reach)
    before = min(excerpt.start // hop, margin)
    first = excerpt.start - before * hop
    length = (before + excerpt.frames + margin) * hop
    part = samples[..., first : first + length]
    part = F.pad(part, (0, length - part.shape[-1]))
    encoded = autoencoder.encode(part.to(autoencoder.device, autoencoder.dtype)).float()
    return encoded[..., before : before + excerpt.frames]


def _mask(
    model: LatentDiffusion, excerpt: Excerpt, *, widened: bool
) -> Float[Tensor, "1 1 frames"]:
    kept = kept_frames(
        excerpt.spans,
        start=excerpt.start,
        frames=excerpt.frames,
        hop=model.autoencoder.downsampling,
        margin=model.autoencoder.encoder_margin if widened else 0,
    )
    return kept[None, None].to(model.device)
