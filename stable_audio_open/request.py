"""What is asked of a generation, checked before any work is done."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, TypedDict

import torch

from stable_audio_open.diffusion.guidance import check_guidance
from stable_audio_open.diffusion.samplers import MAX_SEED, get_sampler
from stable_audio_open.diffusion.schedule import karras, polyexponential, time_from_sigma
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.settings import (
    GUIDANCE_SCALE,
    SAMPLER,
    SCHEDULE,
    SIGMA_MAX,
    SIGMA_MIN,
    STEPS,
    check_steps,
)

MAX_PROMPT_CHARACTERS = 2000

SCHEDULES: dict[str, Callable[[int, float, float], list[float]]] = {
    "polyexponential": polyexponential,
    "karras": karras,
}


class Item(NamedTuple):
    """One sound of a batch."""

    prompt: str
    negative: str | None
    """What guidance leads away from; None is nothing in particular, of the whole batch."""
    seed: int
    seconds_start: float
    seconds_total: float
    samples: int
    """Samples of the sound that was asked for."""


class Request(NamedTuple):
    """A checked request."""

    items: list[Item]
    frames: int
    """Latent frames of the window."""

    @property
    def seeds(self) -> list[int]:
        """The seed of each item."""
        return [item.seed for item in self.items]


class SamplingOptions(TypedDict, total=False):
    """How to sample, as `generate` takes it; what is None or missing is the model's default."""

    steps: int | None
    guidance_scale: float | None
    guidance_rescale: float
    guidance_interval: tuple[float, float]
    sampler: str | None
    schedule: str | None
    sigma_min: float | None
    sigma_max: float | None


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How latents are sampled: every setting has its value.

    Raises:
        ValueError: When one is unknown or out of its range.
    """

    steps: int
    guidance_scale: float
    guidance_rescale: float
    guidance_interval: tuple[float, float]
    """Lowest and highest sigma at which guidance applies."""
    sampler: str
    schedule: str
    sigma_min: float
    """Last noise level before 0."""
    sigma_max: float
    """First noise level."""

    def __post_init__(self) -> None:
        """Check all of it."""
        get_sampler(self.sampler)
        check_guidance(self.guidance_scale, self.guidance_rescale, self.guidance_interval)
        assert self.sigmas

    @cached_property
    def sigmas(self) -> list[float]:
        """The noise levels: `steps + 1`, descending, the last of them 0."""
        return noise_levels(self.schedule, self.steps, self.sigma_min, self.sigma_max)

    def starting_at(self, sigma: float) -> "Sampling":
        """Return the same number of steps on a grid that starts at another noise level.

        The last level before 0 is at most a tenth of the first.
        """
        return replace(self, sigma_max=sigma, sigma_min=min(self.sigma_min, sigma / 10))

    def varying(self, strength: float, level: float | None = None) -> "Sampling":
        """Return all steps from where a sound that is started from is left.

        Args:
            strength: The part of the time t of the first level at which it starts, above 0.
            level: The noise level sigma at which it starts, instead of `strength`.
        """
        if level is not None:
            return self.starting_at(level)
        if strength == 1:
            return self
        return self.starting_at(math.tan(math.pi / 2 * strength * time_from_sigma(self.sigma_max)))


def resolve_sampling(model: LatentDiffusion, options: SamplingOptions) -> Sampling:
    """Fill in what the options leave open with the model's defaults.

    Raises:
        ValueError: When one is unknown or out of its range.
    """
    given = {name: value for name, value in options.items() if value is not None}
    return Sampling(**{**default_sampling(model), **given})  # type: ignore[arg-type]


def default_sampling(model: LatentDiffusion) -> SamplingOptions:  # noqa: ARG001, of one kind so far
    """Return how a model is sampled unless something else is asked for (section 4.2)."""
    return SamplingOptions(
        steps=STEPS,
        guidance_scale=GUIDANCE_SCALE,
        guidance_rescale=0.0,
        guidance_interval=(0.0, math.inf),
        sampler=SAMPLER,
        schedule=SCHEDULE,
        sigma_min=SIGMA_MIN,
        sigma_max=SIGMA_MAX,
    )


def check_request(
    model: LatentDiffusion,
    prompt: str | Sequence[str],
    *,
    duration: float | None,
    seconds_start: float,
    window: float | None,
    negative_prompt: str | Sequence[str] | None,
    seed: int | Sequence[int] | None,
) -> Request:
    """Check the arguments of `generate` that depend on the model's window.

    Raises:
        ValueError: When one is out of its range.
    """
    longest = model.window_seconds
    if window is None:
        window = longest
    elif not 0 < window <= longest:
        raise ValueError(
            f"window must be above 0 and at most the model's {longest:.2f} seconds, got {window}"
        )
    if duration is None:
        duration = window
    elif not 0 < duration <= window:
        raise ValueError(
            f"duration must be above 0 and at most the window of {window:.2f} seconds, "
            f"got {duration}"
        )
    samples = round(duration * model.sample_rate)
    if samples < 1:
        raise ValueError(
            f"duration must be at least one sample of 1/{model.sample_rate} seconds, got {duration}"
        )
    if not 0 <= seconds_start < math.inf:
        raise ValueError(f"seconds_start must be at least 0, got {seconds_start}")
    prompts = check_texts(prompt, "prompt")
    negatives: Sequence[str | None] = [None] * len(prompts)
    if negative_prompt is not None:
        negatives = check_texts(negative_prompt, "negative_prompt")
        if len(negatives) == 1:
            negatives *= len(prompts)
        if len(negatives) != len(prompts):
            raise ValueError(
                f"give one negative_prompt or one per prompt, got {len(negatives)} for "
                f"{len(prompts)} prompts"
            )
    items = [
        Item(
            prompt=text,
            negative=negative,
            seed=one,
            seconds_start=seconds_start,
            seconds_total=seconds_start + duration,
            samples=samples,
        )
        for text, negative, one in zip(
            prompts,
            negatives,
            check_seeds(seed, len(prompts)),
            strict=True,
        )
    ]
    hop = model.autoencoder.downsampling
    frames = min(model.window_frames, math.ceil(window * model.sample_rate / hop))
    return Request(items, frames)


def check_texts(value: str | Sequence[str], name: str) -> list[str]:
    """Return the texts as a list; each must say something, in not too many words."""
    texts = [value] if isinstance(value, str) else list(value)
    if not texts:
        raise ValueError(f"{name} is an empty list; give at least one text")
    for text in texts:
        if not text.strip():
            raise ValueError(f"{name} is empty; describe the sound in a few words")
        if len(text) > MAX_PROMPT_CHARACTERS:
            raise ValueError(
                f"{name} has {len(text)} characters, at most {MAX_PROMPT_CHARACTERS} are allowed; "
                "describe the sound more briefly"
            )
    return texts


def check_seeds(seed: int | Sequence[int] | None, count: int) -> list[int]:
    """Return one seed per item: the given ones, or counted up from the first.

    Raises:
        ValueError: One is out of range, or there are not as many as items.
    """
    if seed is None:
        # From the operating system: torch's global random state is neither used nor changed.
        random = torch.Generator()
        seed = random.seed() % MAX_SEED
    if isinstance(seed, int):
        seed = [seed, *((seed + i) % (MAX_SEED + 1) for i in range(1, count))]
    if len(seed) != count:
        raise ValueError(f"give one seed or one per prompt, got {len(seed)} for {count} prompts")
    for one in seed:
        if not 0 <= one <= MAX_SEED:
            raise ValueError(f"seed must be between 0 and {MAX_SEED}, got {one}")
    return list(seed)


def noise_levels(schedule: str, steps: int, sigma_min: float, sigma_max: float) -> list[float]:
    """Return `steps + 1` descending noise levels, the last of them 0."""
    if schedule not in SCHEDULES:
        raise ValueError(f"unknown schedule {schedule!r}; choose from {list(SCHEDULES)}")
    check_steps(steps)
    return SCHEDULES[schedule](steps, sigma_min, sigma_max)


def check_start(strength: float, level: float | None) -> None:
    """Check where a sound that is started from is left.

    Raises:
        ValueError: When a number is out of its range.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"init_strength must be between 0 and 1, got {strength}")
    if level is not None and not 0 < level < math.inf:
        raise ValueError(f"init_noise_level must be above 0, got {level}")
