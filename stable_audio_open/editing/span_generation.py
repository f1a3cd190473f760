"""How spans of a sound are generated between what is kept of it."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import check_name, check_number
from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.given import GivenAudio, as_audio
from stable_audio_open.audio.resample import resample, resampled_length
from stable_audio_open.diffusion.dit import inpainting_channels
from stable_audio_open.diffusion.samplers import initial_noise
from stable_audio_open.diffusion.samplers.resampling import Resampling
from stable_audio_open.editing.joining import LOOKAHEAD, joined, mirrored, recovered
from stable_audio_open.editing.kept import KeptDenoiser
from stable_audio_open.editing.places import placed
from stable_audio_open.editing.spans import Span, kept_frames, place_window
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.inference import usable
from stable_audio_open.request.given_prompts import (
    GivenNegatives,
    GivenPrompts,
    Prompt,
    check_negatives,
    check_prompts,
)
from stable_audio_open.request.request import Item, check_conditions, check_seeds
from stable_audio_open.request.sampling_settings import SamplingOptions, resolve_sampling
from stable_audio_open.sampling import StepCallback, check_watching, prompted_denoiser, run_sampler
from stable_audio_open.waveforms import decode_audio

Edges = Literal["mirrored", "muted", "generated", "released"]
"""What is done with the latents beside a span, in which the autoencoder has seen what is removed:
it sees the mirror image of what is kept instead, or silence; or they are generated too; or they are
held until the last steps, and then generated."""

Conditions: TypeAlias = Mapping[str, float | Sequence[float]]
"""Numbers by name: one for all items, or one per item."""

LAST_STEPS = 0.2
"""Share of the steps in which `released` latents are generated."""


class Sounds(NamedTuple):
    """A batch of sounds at the model's rate."""

    samples: Float[Tensor, "batch channels time"]
    """With silence behind the end of shorter ones."""
    lengths: tuple[int, ...]
    """Samples of each item."""


class Excerpt(NamedTuple):
    """The part of a sound that the model works on."""

    samples: Float[Tensor, "channels time"]
    """All of the sound."""
    spans: list[Span]
    start: int
    """First sample of the window."""
    frames: int
    """Latent frames of the window."""


def sound_to_edit(model: LatentDiffusion, audio: GivenAudio) -> Sounds:
    """Bring sounds to the model's channels and rate."""
    sound = as_audio(audio, "audio", channels=model.autoencoder.audio_channels)
    rate = model.sample_rate
    samples = resample(sound.samples, sound.sample_rate, rate).detach().float().cpu().clone()
    lengths = tuple(resampled_length(n, sound.sample_rate, rate) for n in sound.lengths)
    for item, length in zip(samples, lengths, strict=True):
        item[..., length:] = 0
    return Sounds(samples[..., : max(lengths)], lengths)


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


def check_joints(edges: str, crossfade: float) -> None:
    """Check how spans are joined to what is kept.

    Raises:
        TypeError: The crossfade is no number.
        ValueError: There are no such edges, or the crossfade is below 0.
    """
    if check_name(edges, "edges") not in get_args(Edges):
        raise ValueError(
            f"edges must be one of {', '.join(get_args(Edges))}, got {edges!r}"
            f"{did_you_mean(edges, get_args(Edges))}"
        )
    check_number(crossfade, "crossfade")
    if not 0 <= crossfade < math.inf:
        raise ValueError(f"crossfade must be at least 0 seconds, got {crossfade}")


def generate_spans(
    model: LatentDiffusion,
    sound: Sounds,
    spans: list[Span],
    prompt: GivenPrompts,
    *,
    conditions: Conditions | None,
    negative_prompt: GivenNegatives | None,
    seed: int | Sequence[int] | None,
    edges: Edges,
    resampling: int,
    crossfade: float,
    progress: bool,
    callback: StepCallback | None,
    options: SamplingOptions,
) -> Audio:
    """Generate spans of a sound anew; the arguments are those of `inpaint`."""
    check_watching(progress, callback)
    check_joints(edges, crossfade)
    repeated = Resampling(times=resampling)
    items = _items(
        model,
        prompt,
        conditions=conditions,
        negative_prompt=negative_prompt,
        seed=seed,
        lengths=sound.lengths,
    )
    seeds = [item.seed for item in items]
    sampling = resolve_sampling(model, options, items=len(items))
    excerpts = _excerpts(model, sound, spans)
    rate, frame = model.sample_rate, model.autoencoder.downsampling / model.sample_rate
    told = [
        placed(model, item, offset=excerpt.start / rate, window=excerpt.frames * frame)
        for item, excerpt in zip(items, _for_each(excerpts, items), strict=True)
    ]

    latents = torch.cat([_kept_latents(model, one, edges) for one in excerpts]).to(model.device)
    kept, widened = (
        torch.cat([_mask(model, one, widened=wide) for one in excerpts]) for wide in (False, True)
    )
    if edges == "generated":
        kept = widened
    known = KeptDenoiser(
        denoiser=prompted_denoiser(
            model,
            told,
            sampling,
            frames=model.window_frames,
            known=inpainting_channels(latents, kept),
        ),
        latents=latents,
        kept=kept,
        released=widened if edges == "released" else None,
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
        resampling=repeated,
    )
    windows = decode_audio(model, known.project(clean), samples=None, seeds=seeds).samples
    lengths = tuple(item.samples for item in items)
    out = windows.new_zeros(len(items), windows.shape[1], max(lengths))
    for row, window, excerpt in zip(out, windows, _for_each(excerpts, items), strict=True):
        edited = _edited(excerpt, window, crossfade=float(crossfade), sample_rate=rate)
        row[:, : edited.shape[-1]] = edited
    return Audio(usable(out), rate, tuple(seeds), lengths)


def _excerpts(model: LatentDiffusion, sound: Sounds, spans: list[Span]) -> list[Excerpt]:
    """Choose a window of each sound, for itself: the others of a batch do not count."""
    hop, frames = model.autoencoder.downsampling, model.window_frames
    return [
        Excerpt(
            samples=samples[:, :length],
            spans=spans,
            start=place_window(spans, samples=length, window=frames * hop, hop=hop),
            frames=frames,
        )
        for samples, length in zip(sound.samples, sound.lengths, strict=True)
    ]


def _for_each(excerpts: Sequence[Excerpt], items: Sequence[Item]) -> list[Excerpt]:
    """Return an excerpt for each item, where all may share one."""
    return [excerpts[index % len(excerpts)] for index in range(len(items))]


def _edited(
    excerpt: Excerpt,
    window: Float[Tensor, "channels window"],
    *,
    crossfade: float,
    sample_rate: int,
) -> Float[Tensor, "channels time"]:
    """Put what was generated into a sound."""
    whole = excerpt.samples
    part = slice(excerpt.start, min(excerpt.start + window.shape[-1], whole.shape[-1]))
    inside = [Span(span.start - excerpt.start, span.end - excerpt.start) for span in excerpt.spans]
    new = torch.zeros_like(whole)
    made = window[:, : part.stop - part.start]
    new[:, part] = recovered(made, whole[:, part], inside)
    return joined(
        whole,
        new,
        excerpt.spans,
        crossfade=round(crossfade * sample_rate),
        lookahead=round(LOOKAHEAD * sample_rate),
    )


def _kept_latents(
    model: LatentDiffusion, excerpt: Excerpt, edges: Edges
) -> Float[Tensor, "1 latent_channels frames"]:
    """Encode the window from a sound without what is removed, and with what lies around it."""
    autoencoder = model.autoencoder
    hop, margin = autoencoder.downsampling, autoencoder.encoder_margin
    reach = 0 if edges == "muted" else margin * hop
    samples = mirrored(excerpt.samples, excerpt.spans, reach)
    before = min(excerpt.start // hop, margin)
    first = excerpt.start - before * hop
    length = (before + excerpt.frames + margin) * hop
    part = samples[None, :, first : first + length]
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
