"""What is asked of a generation, checked before any work is done."""

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, TypedDict

import torch

from stable_audio_open.conditions import SECONDS
from stable_audio_open.diffusion.guidance import check_guidance
from stable_audio_open.diffusion.objective import Objective, process
from stable_audio_open.diffusion.projected_guidance import Projection
from stable_audio_open.diffusion.samplers import MAX_SEED, get_sampler
from stable_audio_open.diffusion.schedule import karras, linear, log_snr, polyexponential
from stable_audio_open.diffusion.timestep_shift import TimestepShift
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.settings import FLOW_LEVELS, SAMPLING, check_steps

MAX_PROMPT_CHARACTERS = 2000

BETWEEN_LEVELS = {"polyexponential": polyexponential, "karras": karras}
FROM_NOISE = ("log-snr", "linear")
"""Schedules that begin with pure noise, where no first level is given."""
SCHEDULES = (*BETWEEN_LEVELS, *FROM_NOISE)


class Weighted(NamedTuple):
    """A text of several."""

    text: str
    weight: float
    """Share of the velocity; those of an item add up to 1."""


Prompt: TypeAlias = tuple[Weighted, ...]
"""What an item is conditioned on: one text, or several with weights."""
GivenPrompt: TypeAlias = str | Sequence[tuple[str, float]]
"""A text, or texts with weights, of one item."""
GivenPrompts: TypeAlias = GivenPrompt | Sequence[GivenPrompt]
"""Of one item, or one per item of a batch."""
GivenNegatives: TypeAlias = GivenPrompt | Sequence[GivenPrompt | None]
"""The same; None is nothing in particular."""


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


GivenScale: TypeAlias = float | Sequence[float] | Sequence[tuple[float, float]]
"""A guidance scale, one per item, or points (sigma, scale) between which it is interpolated."""


LOWEST_SIGMA, HIGHEST_SIGMA = 1e-12, 1e6
"""Noise levels that single precision can tell from silence and from noise alone."""


class SamplingOptions(TypedDict, total=False):
    """How to sample, as `generate` takes it; what is None or missing is the model's default."""

    steps: int | None
    guidance_scale: GivenScale | None
    guidance_rescale: float
    guidance_interval: tuple[float, float]
    guidance_parallel: float
    guidance_norm: float
    guidance_momentum: float
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
    guidance_scale: float | tuple[float, ...] | tuple[tuple[float, float], ...]
    """Of all items, of each, or points (sigma, scale)."""
    guidance_rescale: float
    guidance_interval: tuple[float, float]
    """Lowest and highest noise level at which guidance applies: sigma, or t of flows."""
    guidance_parallel: float
    guidance_norm: float
    guidance_momentum: float
    sampler: str
    schedule: str
    sigma_min: float
    """Last noise level before 0; of `log-snr` the one in whose place 0 comes."""
    sigma_max: float
    """First noise level; infinite is pure noise."""
    objective: Objective = "v"
    """The model's, which decides what its times are."""
    timestep_shift: TimestepShift | None = None
    """The model's, for linear grids."""
    frames: int = 1
    """Latent frames, by which times are shifted."""

    def __post_init__(self) -> None:
        """Check all of it."""
        check_options(sampler=self.sampler, schedule=self.schedule, steps=self.steps)
        for scale in self._scales():
            check_guidance(scale, self.guidance_rescale, self.guidance_interval)
        if self.projection != Projection() and self.guidance_rescale:
            raise ValueError(
                f"guidance_rescale {self.guidance_rescale:g} acts on the velocity and "
                "guidance_parallel, guidance_norm and guidance_momentum on x0; give one of them"
            )
        for name, sigma in (("sigma_min", self.sigma_min), ("sigma_max", self.sigma_max)):
            # Infinity is pure noise, and what is no level at all is refused by the schedule.
            if not (LOWEST_SIGMA <= sigma <= HIGHEST_SIGMA or sigma == math.inf or not sigma > 0):
                raise ValueError(
                    f"{name} must be between {LOWEST_SIGMA:g} and {HIGHEST_SIGMA:g}, got {sigma:g}"
                )
        assert self.sigmas

    def _scales(self) -> list[float]:
        given = self.guidance_scale
        if not isinstance(given, tuple):
            return [given]
        if not given:
            raise ValueError("guidance_scale is an empty list; give at least one number")
        scales = []
        for one in given:
            sigma, scale = one if isinstance(one, tuple) else (1.0, one)
            if not 0 < sigma < math.inf:
                raise ValueError(f"guidance_scale has a point at sigma {sigma}; it must be above 0")
            scales.append(scale)
        return scales

    @property
    def projection(self) -> Projection:
        """How guidance on x0 is changed."""
        return Projection(
            parallel=self.guidance_parallel,
            norm=self.guidance_norm,
            momentum=self.guidance_momentum,
        )

    @cached_property
    def sigmas(self) -> list[float]:
        """The noise levels: `steps + 1`, descending, the last of them 0."""
        if self.schedule == "log-snr":
            return log_snr(self.steps, self.sigma_min, self.sigma_max)
        if self.schedule == "linear":
            if self.timestep_shift is None:
                return linear(self.steps, self.sigma_max)
            return linear(
                self.steps,
                self.sigma_max,
                shift=partial(self.timestep_shift.time, frames=self.frames),
                unshift=partial(self.timestep_shift.inverse, frames=self.frames),
            )
        return BETWEEN_LEVELS[self.schedule](self.steps, self.sigma_min, self.sigma_max)

    def starting_at(self, sigma: float) -> "Sampling":
        """Return the same number of steps on a grid that starts at another noise level.

        The last level before 0 is at most a tenth of the first, but for grids that begin with pure
        noise, which end as published.
        """
        if self.schedule in FROM_NOISE:
            return replace(self, sigma_max=sigma)
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
        own = process(self.objective)
        return self.starting_at(own.sigma(strength * own.time(self.sigma_max)))


def resolve_sampling(
    model: LatentDiffusion, options: SamplingOptions, *, frames: int | None = None
) -> Sampling:
    """Fill in what the options leave open with the model's defaults.

    Args:
        model: The system.
        options: What is asked for.
        frames: Latent frames of each sound, by which a flow's linear grid is shifted; the model's
            window when None.

    Raises:
        ValueError: When one is unknown or out of its range.
    """
    given = {name: _frozen(value) for name, value in options.items() if value is not None}
    settings = {**default_sampling(model, schedule=options.get("schedule")), **given}
    return Sampling(
        **settings,  # type: ignore[arg-type]
        objective=model.objective,
        timestep_shift=model.timestep_shift,
        frames=model.window_frames if frames is None else frames,
    )


def _frozen(value: object) -> object:
    """Return lists as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def default_sampling(model: LatentDiffusion, *, schedule: str | None = None) -> SamplingOptions:
    """Return how a model is sampled unless something else is asked for (section 4.2).

    Args:
        model: The system.
        schedule: The schedule that is asked for, on which the levels depend.
    """
    own = SAMPLING[model.objective]
    schedule = own.schedule if schedule is None else schedule
    levels = own.sigma_min, own.sigma_max
    if schedule in FROM_NOISE:
        levels = FLOW_LEVELS[0], math.inf
    return SamplingOptions(
        steps=own.steps,
        guidance_scale=own.guidance_scale,
        guidance_rescale=0.0,
        guidance_interval=(0.0, math.inf),
        guidance_parallel=1.0,
        guidance_norm=math.inf,
        guidance_momentum=0.0,
        sampler=own.sampler,
        schedule=schedule,
        sigma_min=levels[0],
        sigma_max=levels[1],
    )


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


def check_prompts(value: GivenPrompts, name: str) -> list[Prompt]:
    """Return what each item is conditioned on, with weights that add up to 1.

    Raises:
        ValueError: When a text is empty or too long, or a weight is not above 0.
    """
    given: list[object] = [value] if isinstance(value, str) else list(value)
    if not given:
        raise ValueError(f"{name} is an empty list; give at least one text")
    if all(map(_is_weighted, given)):  # a mixture, of one item
        return [_check_prompt(given, name)]
    return [_check_prompt(one, name) for one in given]


def check_negatives(value: GivenNegatives) -> list[Prompt | None]:
    """Return what guidance leads each item away from, as `check_prompts` does."""
    if isinstance(value, str) or None not in value:
        return [*check_prompts(value, "negative_prompt")]  # type: ignore[arg-type]  # without None
    return [None if one is None else _check_prompt(one, "negative_prompt") for one in value]


def _is_weighted(value: object) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], float | int)
    )


def _check_prompt(given: object, name: str) -> Prompt:
    parts = [(given, 1.0)] if isinstance(given, str) else given
    if not isinstance(parts, list | tuple) or not parts or not all(map(_is_weighted, parts)):
        shown = f"{given!r:.100}"
        raise ValueError(f"{name} must be a text or a list of (text, weight), got {shown}")
    check_texts([text for text, _ in parts], name)
    for text, weight in parts:
        if not 0 < weight < math.inf:
            raise ValueError(f"{name}: the weight of {text[:60]!r} must be above 0, got {weight}")
    total = sum(weight for _, weight in parts)
    return tuple(Weighted(text, weight / total) for text, weight in parts)


def check_texts(value: str | Sequence[str], name: str) -> list[str]:
    """Return the texts as a list; each must say something, in not too many words."""
    texts = [value] if isinstance(value, str) else list(value)
    if not texts:
        raise ValueError(f"{name} is an empty list; give at least one text")
    for text in texts:
        if not text.strip():
            raise ValueError(f"{name} is empty; describe the sound in a few words")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{name} holds what is no character at place {error.start + 1} (bytes that are not "
                "UTF-8, or half of a pair); type that part again"
            ) from error
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
            near = difflib.get_close_matches(name, wanted, n=1)
            raise ValueError(
                f'conditions give "{name}", on which the model is not conditioned; it takes '
                f"{', '.join(wanted) or 'none'}" + (f'; did you mean "{near[0]}"?' if near else "")
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


def check_options(*, sampler: str | None, schedule: str | None, steps: int | None) -> None:
    """Check what can be known to be wrong before there is a model; None is the model's default.

    Raises:
        ValueError: When there is no such sampler or schedule, or the steps are out of their range.
    """
    if sampler is not None:
        get_sampler(sampler)
    if schedule is not None and schedule not in SCHEDULES:
        raise ValueError(f"unknown schedule {schedule!r}; choose from {list(SCHEDULES)}")
    if steps is not None:
        check_steps(steps)


def check_start(strength: float, level: float | None) -> None:
    """Check where a sound that is started from is left.

    Raises:
        ValueError: When a number is out of its range.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"init_strength must be between 0 and 1, got {strength}")
    if level is not None and not 0 < level < math.inf:
        raise ValueError(f"init_noise_level must be above 0, got {level}")
