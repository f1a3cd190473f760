"""From what is asked for to latents: a denoiser that knows the prompts, and a sampler's run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio.audio import Audio
from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.conditioned import ConditionedTransformer
from stable_audio_open.diffusion.denoiser import Denoiser
from stable_audio_open.diffusion.guidance import GuidedVelocity
from stable_audio_open.diffusion.objective import process
from stable_audio_open.diffusion.samplers import StepNoise, get_sampler
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.progress import step_progress
from stable_audio_open.request import Item, Sampling
from stable_audio_open.waveforms import decode_audio, usable


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


class StoppedError(RuntimeError):
    """A callback has stopped a generation."""


def prompted_denoiser(
    model: LatentDiffusion, items: Sequence[Item], sampling: Sampling, *, frames: int
) -> Denoiser:
    """Return the guided denoiser of a batch.

    Args:
        model: The system.
        items: What each item is conditioned on.
        sampling: Guidance, and the noise levels whose timesteps are embedded beforehand.
        frames: Latent frames of each item.

    Returns:
        (x, sigma) -> x0, for x of shape `[items, latent_channels, frames]`.
    """
    own = process(model.objective)
    negative = None
    if any(item.negative is not None for item in items):
        negative = _condition(model, items, [item.negative or "" for item in items]).cross
    transformer = ConditionedTransformer(
        model.transformer,
        _condition(model, items, [item.prompt for item in items]),
        negative=negative,
        times=map(own.time, sampling.sigmas),
        frames=frames,
    )
    return own.denoiser(
        GuidedVelocity(
            pair=transformer.pair,
            conditional=transformer.conditional,
            scale=sampling.guidance_scale,
            rescale=sampling.guidance_rescale,
            interval=sampling.guidance_interval,
            time=own.interval,
        )
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

    Raises:
        StoppedError: When the callback returns False.
    """
    with step_progress(len(sampling.sigmas) - 1, shown=progress) as advance:

        def after_step(number: int, steps: int, x0: Tensor) -> None:
            advance()
            if callback is None:
                return
            latents = usable(x0)
            step = Step(number, steps, latents, lambda: preview(latents))
            if callback(step) is False:
                raise StoppedError(f"stopped by the callback after step {number + 1} of {steps}")

        def preview(latents: Tensor) -> Audio:
            return decode_audio(model, latents, samples=None, seeds=seeds)

        noise = StepNoise(seeds, (x.shape[1], x.shape[2]), x.device)
        sampler = get_sampler(sampling.sampler)
        return sampler(denoiser, x, sampling.sigmas, noise=noise, callback=after_step)


def _condition(model: LatentDiffusion, items: Sequence[Item], texts: Sequence[str]) -> Conditioning:
    conditioner = model.conditioner
    conditioning: Conditioning = conditioner(
        conditioner.prepare(
            [
                {"prompt": text, **item.numbers(conditioner.numbers)}
                for item, text in zip(items, texts, strict=True)
            ]
        )
    )
    return conditioning
