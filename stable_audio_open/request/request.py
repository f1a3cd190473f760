"""What is asked of a generation, checked before any work is done."""

import math
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch

from stable_audio_open.arguments.checks import (
    check_count,
    check_each,
    check_integer,
    check_name,
    check_number,
    is_list,
    rounded_down,
    wrong_type,
)
from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.conditions import SECONDS
from stable_audio_open.diffusion.samplers import MAX_SEED
from stable_audio_open.diffusion.schedule import HIGHEST_SIGMA, LEAST_START
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request.given_prompts import (
    GivenNegatives,
    GivenPrompts,
    Prompt,
    check_negatives,
    check_prompts,
)

STRENGTH = 0.7
"""Default of `init_strength`."""
LARGEST = 1e9
"""Largest number of seconds, or of a condition, that is taken; models bring it into their range."""


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
    window = check_window(model, window)
    seconds_start = check_number(seconds_start, "seconds_start")
    if not 0 <= seconds_start < math.inf:
        raise ValueError(f"seconds_start must be at least 0, got {seconds_start}")
    if seconds_start > LARGEST:
        raise ValueError(f"seconds_start must be at most {LARGEST:g}, got {seconds_start:g}")
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
        check_count(len(negatives), "negative_prompt", items=count)
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
    return Request(items, window_frames(model, window))


def check_window(model: LatentDiffusion, window: float | None) -> float:
    """Return the seconds to work on: the model's window when None.

    Raises:
        TypeError: It is no number.
        ValueError: It is not above 0 and at most the model's.
    """
    longest = model.window_seconds
    if window is None:
        return longest
    window = check_number(window, "window")
    if not 0 < window <= longest:
        raise ValueError(
            f"window must be above 0 and at most the model's {rounded_down(longest, 2)} seconds, "
            f"got {window}"
        )
    if round(window * model.sample_rate) < 1:
        raise ValueError(
            f"window must be at least one sample of 1/{model.sample_rate} seconds, got {window}"
        )
    return window


def window_frames(model: LatentDiffusion, window: float) -> int:
    """Return the latent frames of a window of so many seconds, at most the model's."""
    samples = max(1, round(window * model.sample_rate))
    return min(model.window_frames, math.ceil(samples / model.autoencoder.downsampling))


def check_durations(
    duration: float | Sequence[float] | None, count: int, window: float, sample_rate: int
) -> list[float]:
    """Return the seconds of each item.

    Raises:
        TypeError: One is no number.
        ValueError: One is not above 0 and at most the window, or there are not as many as items.
    """
    durations = [window] * count
    if duration is not None:
        durations = check_each(duration, "duration", check_number, items=count)
    for seconds in durations:
        if not 0 < seconds <= window:
            raise ValueError(
                "duration must be above 0 and at most the window of "
                f"{rounded_down(window, 2)} seconds, got {seconds}"
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
    seeds = check_each(seed, "seed", check_integer, items=count)
    for one in seeds:
        if not 0 <= one <= MAX_SEED:
            raise ValueError(f"seed must be between 0 and {MAX_SEED}, got {one}")
    if is_list(seed):
        return seeds
    return [(one + index) % (MAX_SEED + 1) for index, one in enumerate(seeds)]


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
    if conditions is not None and not isinstance(conditions, Mapping):
        raise wrong_type(conditions, "conditions", 'numbers by name, such as {"bpm": 120}')
    given = dict(conditions or {})
    for name in given:
        check_name(name, "a name of conditions")
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
        numbers = check_each(given[name], f"condition {name}", check_number, items=items)
        for row, number in zip(rows, numbers, strict=True):
            if not math.isfinite(number):
                raise ValueError(f"the condition {name} must be a finite number, got {number}")
            if abs(number) > LARGEST:
                raise ValueError(
                    f"the condition {name} must be between {-LARGEST:g} and {LARGEST:g}, got "
                    f"{number:g}"
                )
            row[name] = float(number)
    return rows


def check_start(
    strength: float, level: float | None, *, audio: bool = True
) -> tuple[float, float | None]:
    """Return where a sound that is started from is left: its strength, and its noise level.

    Args:
        strength: `init_strength`.
        level: `init_noise_level`.
        audio: There is a sound to start from.

    Raises:
        TypeError: One is no number.
        ValueError: One is out of its range, one is given and no sound, or both are.
    """
    strength = check_number(strength, "init_strength")
    if not 0 <= strength <= 1:
        raise ValueError(f"init_strength must be between 0 and 1, got {strength}")
    # Tags of earlier sounds hold the default, whether there was a sound to start from or not.
    if strength != STRENGTH and not audio:
        raise ValueError(
            f"init_strength {strength:g} says how much is left of init_audio, which is missing; "
            "give init_audio too"
        )
    if level is None:
        return strength, None
    level = check_number(level, "init_noise_level")
    if not 0 < level < math.inf:
        raise ValueError(f"init_noise_level must be above 0, got {level}")
    if not LEAST_START <= level <= HIGHEST_SIGMA:
        raise ValueError(
            f"init_noise_level must be between {LEAST_START:g} and {HIGHEST_SIGMA:g}, got {level:g}"
        )
    if not audio:
        raise ValueError(
            f"init_noise_level {level:g} is where init_audio is started from; give init_audio too"
        )
    if strength != STRENGTH:
        raise ValueError(
            f"init_strength {strength:g} and init_noise_level {level:g} are two starts from one "
            "sound; give one of them"
        )
    return strength, level
