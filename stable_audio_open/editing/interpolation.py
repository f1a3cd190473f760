"""Sounds on the way from one prompt, or one seed, to another."""

import math
from collections.abc import Mapping, Sequence
from typing import Unpack

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.arguments.checks import check_integer
from stable_audio_open.audio.audio import Audio
from stable_audio_open.diffusion.denoiser import noised
from stable_audio_open.diffusion.samplers import StepNoise, initial_noise
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.device import sent
from stable_audio_open.request.given_prompts import GivenNegatives, GivenPrompt, check_texts
from stable_audio_open.request.request import check_request, check_seeds
from stable_audio_open.request.sampling_settings import SamplingOptions, resolve_sampling
from stable_audio_open.sampling import StepCallback, check_watching, prompted_denoiser, run_sampler
from stable_audio_open.waveforms import check_fade, decode_audio

MOST_SOUNDS = 1000


class NoiseOnTheWay:
    """Noise between that of two seeds, of unit variance everywhere: initial and step noise.

    Args:
        seeds: Of the first sound and of the last.
        count: Sounds, evenly spread on the way.
        shape: Channels and frames of one.
        device: Where the noise goes; the angles between two are measured on the CPU.
    """

    def __init__(
        self, seeds: tuple[int, int], count: int, shape: tuple[int, int], device: torch.device
    ) -> None:
        self._seeds = seeds
        self._shape = shape
        self._device = device
        self._shares = torch.linspace(0, 1, count)
        self._steps = StepNoise(seeds, shape)

    def initial(self) -> Float[Tensor, "count channels frames"]:
        """The noise to start from."""
        start, end = initial_noise(self._shape, self._seeds)
        return sent(slerp(start, end, self._shares), self._device)

    def __call__(self, sigma: float, sigma_next: float) -> Float[Tensor, "count channels frames"]:
        """The noise of a step."""
        start, end = self._steps(sigma, sigma_next)
        return sent(slerp(start, end, self._shares), self._device)


def slerp(
    start: Float[Tensor, "channels frames"],
    end: Float[Tensor, "channels frames"],
    shares: Float[Tensor, "count"],
) -> Float[Tensor, "count channels frames"]:
    """Spherical interpolation: at a share s, (sin((1 - s) a) start + sin(s a) end) / sin(a).

    `a` is the angle between the two; where it is 0 all are the same. The ends are kept bit by bit.
    """
    cosine = torch.nn.functional.cosine_similarity(start.flatten(), end.flatten(), dim=0)
    angle = float(cosine.clamp(-1, 1).cpu().double().acos())
    points = []
    for share in shares.tolist():
        if share in (0, 1) or math.sin(angle) < 1e-6:
            points.append(end if share == 1 else start)
            continue
        first, last = math.sin((1 - share) * angle), math.sin(share * angle)
        points.append((first * start + last * end) / math.sin(angle))
    return torch.stack(points)


@torch.inference_mode()
def interpolate(
    model: LatentDiffusion,
    prompt: str | tuple[str, str],
    *,
    count: int = 8,
    seed: int | Sequence[int] | None = None,
    duration: float | None = None,
    seconds_start: float = 0.0,
    window: float | None = None,
    conditions: Mapping[str, float | Sequence[float]] | None = None,
    negative_prompt: GivenNegatives | None = None,
    fade: float | None = None,
    progress: bool = True,
    callback: StepCallback | None = None,
    **options: Unpack[SamplingOptions],
) -> Audio:
    """Generate sounds on the way from one prompt to another, from one seed to another, or both.

    Between prompts, velocities are mixed by weights; between seeds, noise is interpolated on the
    sphere, that of stochastic samplers' steps too.

    Args:
        model: The trained system, in evaluation mode.
        prompt: A text, or the pair of the first and the last.
        count: Sounds, the two ends among them: at least 2.
        seed: A seed, or the first and the last (or one for each, of which the ends count). When
            None, a random one between two prompts, and two of one prompt.
        duration: Seconds of each; the window when None.
        seconds_start: Where in a longer recording the sounds start, in seconds.
        window: Seconds to work on.
        conditions: The other numbers that the model is conditioned on.
        negative_prompt: What guidance leads away from.
        fade: Seconds of the fade-out that saving gives an end that was cut: 5 ms when None, 0 is
            none.
        progress: Show a progress bar.
        callback: Called after each step.
        options: How to sample.

    Returns:
        `count` sounds in their order. Seeds are those of the ends: the first sound has the first,
        all others the last.

    Raises:
        ValueError: When an argument is out of its range, or the two ends are the same.
        FloatingPointError: When the model gives NaN.
        StoppedError: When the callback has stopped the run.
    """
    check_watching(progress, callback)
    fade = check_fade(fade)
    count = check_count(count)
    prompts = prompts_on_the_way(prompt, count)
    first, last = seeds_of_ends(seed, prompts)
    request = check_request(
        model,
        prompts,
        duration=duration,
        seconds_start=seconds_start,
        window=window,
        conditions=conditions,
        negative_prompt=negative_prompt,
        seed=[first, *[last] * (count - 1)],
    )
    sampling = resolve_sampling(model, options, frames=request.frames, items=count)
    shape = (model.autoencoder.latent_channels, request.frames)
    noise = NoiseOnTheWay((first, last), count, shape, model.device)
    start = noise.initial()
    x = noised(torch.zeros_like(start), start, sampling.sigmas[0])
    denoiser = prompted_denoiser(model, request.items, sampling, frames=request.frames)
    latents = run_sampler(
        model,
        denoiser,
        x,
        sampling,
        seeds=request.seeds,
        progress=progress,
        callback=callback,
        noise=noise,
    )
    samples = [item.samples for item in request.items]
    return decode_audio(model, latents, samples=samples, seeds=request.seeds, fade=fade)


def check_count(count: int) -> int:
    """Return a number of sounds on the way.

    Raises:
        TypeError: It is no integer.
        ValueError: It is not 2 to `MOST_SOUNDS`.
    """
    count = check_integer(count, "count")
    if not 2 <= count <= MOST_SOUNDS:
        raise ValueError(f"count must be 2 to {MOST_SOUNDS} sounds, got {count}")
    return count


def prompts_on_the_way(prompt: str | tuple[str, str], count: int) -> list[GivenPrompt]:
    """Return what each sound on the way is made from; the ends are made from their text alone.

    Raises:
        ValueError: When there is no text, or there are more than two.
    """
    texts = check_texts(prompt, "prompt")
    if len(texts) > 2:
        raise ValueError(f"prompt must be a text or a pair of texts, got {len(texts)}")
    start, end = texts[0], texts[-1]
    if start == end:
        return [start] * count
    shares = [index / (count - 1) for index in range(1, count - 1)]
    return [start, *([(start, 1 - share), (end, share)] for share in shares), end]


def seeds_of_ends(
    seed: int | Sequence[int] | None, prompts: Sequence[GivenPrompt]
) -> tuple[int, int]:
    """Return the seeds of the first sound and of the last.

    Args:
        seed: One, the two, or one for each sound; random when None.
        prompts: Of each sound.

    Raises:
        ValueError: When there are as many seeds as neither, or both ends are the same.
    """
    same = prompts[0] == prompts[-1]
    if seed is None:
        first, last = check_seeds(None, 2)
        return first, last if same else first
    if isinstance(seed, list | tuple):
        if len(seed) not in (2, len(prompts)):
            raise ValueError(
                f"seed must be one, the first and the last, or one for each of {len(prompts)} "
                f"sounds, got {len(seed)}"
            )
        first, *_, last = check_seeds(seed, len(seed))
    else:
        first = last = check_seeds(seed, 1)[0]
    if same and first == last:
        raise ValueError(
            f"prompt {prompts[0]!r} and seed {first} are those of both ends, so all sounds would "
            "be the same; give two prompts or two seeds"
        )
    return first, last
