"""What is asked of a generation, checked before any work is done."""

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from stable_audio_open.arguments import check_integer, check_number
from stable_audio_open.conditions import SECONDS
from stable_audio_open.diffusion.samplers import MAX_SEED
from stable_audio_open.given_prompts import (
    GivenNegatives,
    GivenPrompts,
    Prompt,
    check_negatives,
    check_prompts,
)
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nearest import did_you_mean


class Item(NamedTuple):
    """One sound of a batch."""

    prompt: Prompt
    negative: Prompt | None
    """What guidance leads away from; None is nothing in particular."""
    seed: int
    seconds_start: float
    seconds_total: float
    samples: int
    """Samples of the sound that was asked for."""
    conditions: Mapping[str, float] = MappingProxyType({})
    """The other numbers that the model is conditioned on."""

    def numbers(self, wanted: Iterable[str]) -> dict[str, float]:
        """Return the numbers that a model is conditioned on, by name."""
        known = {
            **self.conditions,
            "seconds_start": self.seconds_start,
            "seconds_total": self.seconds_total,
        }
        return {name: known[name] for name in wanted if name in known}


class Request(NamedTuple):
    """A checked request."""

    items: list[Item]
    frames: int
    """Latent frames of the window."""

    @property
    def seeds(self) -> list[int]:
        """The seed of each item."""
        return [item.seed for item in self.items]


def check_request(
    model: LatentDiffusion,
    prompt: GivenPrompts,
    *,
    duration: float | Sequence[float] | None,
    seconds_start: float,
    window: float | None,
    conditions: Mapping[str, float | Sequence[float]] | None = None,
    negative_prompt: GivenNegatives | None,
    seed: int | Sequence[int] | None,
) -> Request:
    """Check the arguments of `generate` that depend on the model's window.

    Raises:
        ValueError: When one is out of its range.
    """
    longest = model.window_seconds
    for name, value in (("window", window), ("seconds_start", seconds_start)):
        if value is not None:
            check_number(value, name)
    if window is None:
        window = longest
    elif not 0 < window <= longest:
        raise ValueError(
            f"window must be above 0 and at most the model's {longest:.2f} seconds, got {window}"
        )
    if not 0 <= seconds_start < math.inf:
        raise ValueError(f"seconds_start must be at least 0, got {seconds_start}")
    if seconds_start and "seconds_start" not in model.conditioner.numbers:
        raise ValueError(
            f"seconds_start is {seconds_start}, but the model is not conditioned on it; leave it "
            "out"
        )
    prompts = check_prompts(prompt, "prompt")
    count = len(prompts)
    durations = check_durations(duration, count, window, model.sample_rate)
    negatives: Sequence[Prompt | None] = [None] * count
    if negative_prompt is not None:
        negatives = check_negatives(negative_prompt)
        if len(negatives) == 1:
            negatives = [*negatives] * count
        if len(negatives) != count:
            raise ValueError(
                f"give one negative_prompt or one per prompt, got {len(negatives)} for "
                f"{count} prompts"
            )
    items = [
        Item(
            prompt=text,
            negative=negative,
            seed=one,
            seconds_start=seconds_start,
            seconds_total=seconds_start + seconds,
            samples=round(seconds * model.sample_rate),
            conditions=numbers,
        )
        for text, negative, one, seconds, numbers in zip(
            prompts,
            negatives,
            check_seeds(seed, count),
            durations,
            check_conditions(model, conditions, items=count),
            strict=True,
        )
    ]
    hop = model.autoencoder.downsampling
    frames = min(model.window_frames, math.ceil(window * model.sample_rate / hop))
    return Request(items, frames)


def check_durations(
    duration: float | Sequence[float] | None, count: int, window: float, sample_rate: int
) -> list[float]:
    """Return the seconds of each item.

    Raises:
        ValueError: One is not above 0 and at most the window, or there are not as many as items.
    """
    if isinstance(duration, Sequence):
        durations = list(duration)
        if len(durations) != count:
            raise ValueError(
                f"give one duration or one per prompt, got {len(durations)} for {count} prompts"
            )
    else:
        durations = [window if duration is None else duration] * count
    for seconds in durations:
        check_number(seconds, "duration")
        if not 0 < seconds <= window:
            raise ValueError(
                f"duration must be above 0 and at most the window of {window:.2f} seconds, "
                f"got {seconds}"
            )
        if round(seconds * sample_rate) < 1:
            raise ValueError(
                f"duration must be at least one sample of 1/{sample_rate} seconds, got {seconds}"
            )
    return durations


def check_seeds(seed: int | Sequence[int] | None, count: int) -> list[int]:
    """Return one seed per item: the given ones, or counted up from the first.

    Raises:
        TypeError: One is no integer.
        ValueError: One is out of range, or there are not as many as items.
    """
    if seed is None:
        # From the operating system: torch's global random state is neither used nor changed.
        random = torch.Generator()
        seed = random.seed() % MAX_SEED
    given: list[Any] = list(seed) if isinstance(seed, list | tuple) else [seed]
    for one in given:
        check_integer(one, "seed")
    seeds = [int(one) for one in given]
    if not isinstance(seed, list | tuple):
        seeds += [(seeds[0] + i) % (MAX_SEED + 1) for i in range(1, count)]
    if len(seeds) != count:
        raise ValueError(f"give one seed or one per prompt, got {len(seeds)} for {count} prompts")
    for one in seeds:
        if not 0 <= one <= MAX_SEED:
            raise ValueError(f"seed must be between 0 and {MAX_SEED}, got {one}")
    return seeds


def check_conditions(
    model: LatentDiffusion,
    conditions: Mapping[str, float | Sequence[float]] | None,
    *,
    items: int,
) -> list[dict[str, float]]:
    """Return the numbers of each item that do not follow from its place in time.

    Raises:
        ValueError: When the model has no such number, one is missing, or there are not as many of
            one as items. (Numbers that are out of the model's range are brought into it there.)
    """
    wanted = [name for name in model.conditioner.numbers if name not in SECONDS]
    given = dict(conditions or {})
    for name in given:
        if name in SECONDS:
            raise ValueError(
                f"conditions give {name}, which follows from duration and seconds_start; leave it "
                "out there"
            )
        if name not in wanted:
            raise ValueError(
                f'conditions give "{name}", on which the model is not conditioned; it takes '
                f"{', '.join(wanted) or 'none'}{did_you_mean(name, wanted)}"
            )
    if missing := [name for name in wanted if name not in given]:
        example = ", ".join(f'"{name}": ...' for name in missing)
        raise ValueError(
            f"the model is conditioned on {', '.join(missing)}; give conditions={{{example}}}"
        )
    rows: list[dict[str, float]] = [{} for _ in range(items)]
    for name in wanted:
        value = given[name]
        values = [value] * items if isinstance(value, int | float) else list(value)
        if len(values) != items:
            raise ValueError(
                f"conditions give {len(values)} numbers for {name} and there are {items} items; "
                "give one number or one per item"
            )
        for row, number in zip(rows, values, strict=True):
            if not math.isfinite(number):
                raise ValueError(f"the condition {name} must be a finite number, got {number}")
            row[name] = float(number)
    return rows


def check_start(strength: float, level: float | None) -> None:
    """Check where a sound that is started from is left.

    Raises:
        ValueError: When a number is out of its range.
    """
    check_number(strength, "init_strength")
    if level is not None:
        check_number(level, "init_noise_level")
    if not 0 <= strength <= 1:
        raise ValueError(f"init_strength must be between 0 and 1, got {strength}")
    if level is not None and not 0 < level < math.inf:
        raise ValueError(f"init_noise_level must be above 0, got {level}")
