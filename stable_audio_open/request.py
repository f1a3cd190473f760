"""What is asked of a generation, checked before any work is done."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from stable_audio_open.diffusion.samplers import MAX_SEED
from stable_audio_open.diffusion.schedule import karras, polyexponential
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.settings import check_steps

MAX_PROMPT_CHARACTERS = 2000

SCHEDULES: dict[str, Callable[[int, float, float], list[float]]] = {
    "polyexponential": polyexponential,
    "karras": karras,
}


class Request(NamedTuple):
    """A checked request, one entry per item of the batch."""

    prompts: list[str]
    negatives: list[str] | None
    seeds: list[int]
    seconds_start: float
    seconds_total: float
    frames: int
    """Latent frames of the window."""
    samples: int
    """Samples of the sound that was asked for."""


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
    negatives = None
    if negative_prompt is not None:
        negatives = check_texts(negative_prompt, "negative_prompt")
        if len(negatives) == 1:
            negatives *= len(prompts)
        if len(negatives) != len(prompts):
            raise ValueError(
                f"give one negative_prompt or one per prompt, got {len(negatives)} for "
                f"{len(prompts)} prompts"
            )
    hop = model.autoencoder.downsampling
    return Request(
        prompts=prompts,
        negatives=negatives,
        seeds=check_seeds(seed, len(prompts)),
        seconds_start=seconds_start,
        seconds_total=seconds_start + duration,
        frames=min(model.window_frames, math.ceil(window * model.sample_rate / hop)),
        samples=samples,
    )


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


def truncate_schedule(sigmas: list[float], strength: float) -> list[float]:
    """Keep the last part of a schedule, at least one step."""
    if not 0 < strength <= 1:
        raise ValueError(f"init_strength must be above 0 and at most 1, got {strength}")
    steps = len(sigmas) - 1
    return sigmas[steps - max(1, round(steps * strength)) :]
