"""From what is asked for to latents: a denoiser that knows the prompts, and a sampler's run."""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import check_flag, check_function
from stable_audio_open.audio.audio import Audio
from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.adapted_weights import AdaptedWeights
from stable_audio_open.diffusion.conditioned import ConditionedTransformer, Mixture
from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.guidance import GuidedVelocity, Scale, scale_curve
from stable_audio_open.diffusion.objective import Process, process
from stable_audio_open.diffusion.projected_guidance import ProjectedGuidance, Projection
from stable_audio_open.diffusion.samplers import Noise, StepNoise, get_sampler
from stable_audio_open.diffusion.samplers.resampling import Resampling, resampled
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.device import filled
from stable_audio_open.nn.inference import usable
from stable_audio_open.progress import step_progress
from stable_audio_open.request.given_guidance import ItemScale, is_one, scales_of
from stable_audio_open.request.given_prompts import Weighted
from stable_audio_open.request.request import Item
from stable_audio_open.request.sampling_settings import Sampling
from stable_audio_open.waveforms import decode_audio


@dataclass(frozen=True)
class Step:
    """What a callback is given after each step."""

    number: int
    """Of the step, from 0."""
    steps: int
    """How many there are."""
    latents: Float[Tensor, "batch latent_channels frames"]
    """The clean latents as predicted there, in float32; a copy, free to be kept or changed."""
    preview: Callable[[], Audio]
    """Decodes these latents."""


StepCallback: TypeAlias = Callable[[Step], bool | None]
"""Called after each step; False stops the run."""


ONCE = Resampling()
"""Each step is taken once."""

logger = logging.getLogger(__name__)


class StoppedError(RuntimeError):
    """A callback has stopped a generation."""


def prompted_denoiser(
    model: LatentDiffusion,
    items: Sequence[Item],
    sampling: Sampling,
    *,
    frames: int,
    keep: bool = True,
    known: Float[Tensor, "batch_or_1 known_channels frames"] | None = None,
) -> Denoiser:
    """Return the guided denoiser of a batch.

    Args:
        model: The system.
        items: What each item is conditioned on.
        sampling: Guidance, adapters, and the noise levels whose timesteps are embedded beforehand.
        frames: Latent frames of each item.
        keep: Keep what does not change from step to step, as `ConditionedTransformer` does.
        known: What is kept, as `inpainting_channels` gives it; models without such channels do
            not use it.

    Returns:
        (x, sigma) -> x0, for x of shape `[items, latent_channels, frames]`.
    """
    own = process(model.objective)
    scales = scales_of(sampling.guidance_scale, items=len(items))
    items = without_idle_negatives(items, sampling)
    times = map(own.time, sampling.sigmas)
    weights = model.adapter_set.weights(model.transformer, sampling.adapters, time=own.time)
    transformer = _conditioned(
        model, items, times=times, frames=frames, keep=keep, known=known, weights=weights
    )
    guided = GuidedVelocity(
        pair=transformer.pair,
        conditional=transformer.conditional,
        scale=_scale(scales, own, model.device),
        rescale=sampling.guidance_rescale,
        interval=sampling.guidance_interval,
        time=own.interval,
    )
    if sampling.projection == Projection():
        return own.denoiser(guided)
    return ProjectedGuidance(guided=guided, denoiser=own.denoiser, projection=sampling.projection)


UNCHANGED = {
    "guidance_rescale": 0.0,
    "guidance_interval": (0.0, math.inf),
    "guidance_parallel": 1.0,
    "guidance_norm": math.inf,
    "guidance_momentum": 0.0,
}
"""Options of guidance, with the values at which they change nothing."""


def without_idle_negatives(items: Sequence[Item], sampling: Sampling) -> list[Item]:
    """Drop the negative prompts of items that are not guided, and warn of what has no effect."""
    scales = scales_of(sampling.guidance_scale, items=len(items))
    names = [name for name, value in UNCHANGED.items() if getattr(sampling, name) != value]
    if names and all(map(is_one, scales)):
        logger.warning(
            "%s has no effect at guidance_scale 1; give a scale above 1", " and ".join(names)
        )
    idle = [
        item.negative is not None and is_one(scale)
        for item, scale in zip(items, scales, strict=True)
    ]
    if any(idle):
        logger.warning("negative_prompt has no effect at guidance_scale 1; give a scale above 1")
    return [
        item._replace(negative=None) if is_idle else item
        for item, is_idle in zip(items, idle, strict=True)
    ]


def check_watching(progress: bool, callback: StepCallback | None) -> None:
    """Check how a run is to be watched.

    Raises:
        TypeError: An argument is of a wrong type.
    """
    check_flag(progress, "progress")
    check_function(callback, "callback")


def warn_of_training(model: LatentDiffusion) -> None:
    """Say that a model in training mode, whose dropout is on, makes other sounds."""
    if model.training:
        logger.warning(
            "the model is in training mode, in which dropout changes what it makes; call "
            "model.eval() first"
        )


def run_sampler(
    model: LatentDiffusion,
    denoiser: Denoiser,
    x: Float[Tensor, "batch latent_channels frames"],
    sampling: Sampling,
    *,
    seeds: Sequence[int],
    progress: bool,
    callback: StepCallback | None,
    resampling: Resampling = ONCE,
    noise: Noise | None = None,
) -> Float[Tensor, "batch latent_channels frames"]:
    """Take latents from the first noise level to 0.

    Args:
        model: The system, which decodes previews.
        denoiser: (x, sigma) -> x0.
        x: Latents at the noise level `sampling.sigmas[0]`.
        sampling: Sampler and noise levels.
        seeds: One per item; each continues the stream that its initial noise is the start of.
        progress: Show a progress bar.
        callback: Called after each step.
        resampling: How often each piece of the steps is gone through.
        noise: Fresh noise of the steps; that of the seeds when None.

    Raises:
        StoppedError: When the callback returns False.
    """
    warn_of_training(model)
    with step_progress(resampling.steps(sampling.sigmas), shown=progress) as advance:

        def after_step(number: int, steps: int, x0: Tensor) -> None:
            advance()
            if callback is None:
                return
            latents = usable(x0)
            step = Step(number, steps, latents, lambda: preview(latents))
            answer = callback(step)
            if isinstance(answer, bool | np.bool_) and not answer:
                raise StoppedError(f"stopped by the callback after step {number + 1} of {steps}")

        def preview(latents: Tensor) -> Audio:
            return decode_audio(model, latents, samples=None, seeds=seeds)

        fresh = noise or StepNoise(seeds, (x.shape[1], x.shape[2]), x.device)
        sampler = resampled(get_sampler(sampling.sampler), resampling)
        return sampler(denoiser, x, sampling.sigmas, noise=fresh, callback=after_step)


def _scale(
    scales: Sequence[ItemScale], process: Process, device: torch.device
) -> Scale | Callable[[float], Scale]:
    """Return the guidance scale of all items, of each, or over the model's time."""

    def over_time(scale: ItemScale) -> Callable[[float], float]:
        if not isinstance(scale, tuple):
            return lambda _: scale
        return scale_curve([(process.time(sigma), one) for sigma, one in scale])

    def together(values: Sequence[float]) -> Scale:
        if len(set(values)) == 1:
            return values[0]
        return filled(values, device)[:, None, None]

    curves = [over_time(scale) for scale in scales]
    if any(isinstance(scale, tuple) for scale in scales):
        return lambda t: together([curve(t) for curve in curves])
    return together([curve(0.0) for curve in curves])


def _conditioned(
    model: LatentDiffusion,
    items: Sequence[Item],
    *,
    times: Iterable[float],
    frames: int,
    keep: bool,
    known: Tensor | None,
    weights: AdaptedWeights,
) -> ConditionedTransformer:
    """Bind the transformer to all texts of all items, each a row."""
    rows = [(index, part) for index, item in enumerate(items) for part in item.prompt]
    nothing = (Weighted("", 1.0),)
    null_rows = [
        (index, part) for index, item in enumerate(items) for part in item.negative or nothing
    ]
    negative = None
    if any(part.text for _, part in null_rows):
        negative = _condition(model, [(items[i], part.text) for i, part in null_rows]).cross
        is_text = torch.tensor([bool(part.text) for _, part in null_rows], device=negative.device)
        negative = negative * is_text.to(negative.dtype)[:, None, None]
    mixture = None
    if max(len(rows), len(null_rows)) > len(items):
        mixture = Mixture(_weights(rows, len(items)), _weights(null_rows, len(items)))
    return ConditionedTransformer(
        model.transformer,
        _condition(model, [(items[i], part.text) for i, part in rows]),
        negative=negative,
        times=times,
        frames=frames,
        mixture=mixture and Mixture(*(weights.to(model.device) for weights in mixture)),
        keep=keep,
        known=None if known is None else known.expand(len(items), -1, -1),
        weights=weights,
    )


def _weights(rows: Sequence[tuple[int, Weighted]], items: int) -> Tensor:
    weights = torch.zeros(items, len(rows))
    for row, (item, part) in enumerate(rows):
        weights[item, row] = part.weight
    return weights


def _condition(model: LatentDiffusion, rows: Sequence[tuple[Item, str]]) -> Conditioning:
    conditioner = model.conditioner
    conditioning: Conditioning = conditioner(
        conditioner.prepare(
            [{"prompt": text, **item.numbers(conditioner.numbers)} for item, text in rows]
        )
    )
    return conditioning
