"""How latents are sampled: what is left open is the model's own default."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypedDict, get_args

from stable_audio_open.arguments.checks import check_integer, check_name, check_number, check_pair
from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.diffusion.adapters import AdapterUse
from stable_audio_open.diffusion.guidance import check_guidance
from stable_audio_open.diffusion.objective import process
from stable_audio_open.diffusion.projected_guidance import Projection
from stable_audio_open.diffusion.samplers import get_sampler
from stable_audio_open.diffusion.samplers.sampler import step_pairs
from stable_audio_open.diffusion.schedule import (
    HIGHEST_SIGMA,
    LEAST_START,
    LOWEST_SIGMA,
    karras,
    linear,
    log_snr,
    polyexponential,
)
from stable_audio_open.diffusion.timestep_shift import TimestepShift
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request.given_adapters import GivenAdapters, check_uses
from stable_audio_open.request.given_guidance import (
    GivenScale,
    Scales,
    check_scales,
    each_scale,
    scales_of,
)
from stable_audio_open.settings import FLOW_LEVELS, SAMPLING, Objective, check_steps

BETWEEN_LEVELS = {"polyexponential": polyexponential, "karras": karras}
FROM_NOISE = ("log-snr", "linear")
"""Schedules that begin with pure noise, where no first level is given."""
SCHEDULES = (*BETWEEN_LEVELS, *FROM_NOISE)


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
    adapters: GivenAdapters | None


OPTIONS: dict[str, Callable[[object, str], object]] = {
    "steps": check_integer,
    "guidance_scale": check_number,
    "guidance_rescale": check_number,
    "guidance_interval": check_pair,
    "guidance_parallel": check_number,
    "guidance_norm": check_number,
    "guidance_momentum": check_number,
    "sampler": check_name,
    "schedule": check_name,
    "sigma_min": check_number,
    "sigma_max": check_number,
    "adapters": check_uses,
}
"""How each is checked; `guidance_scale` has forms of its own."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How latents are sampled: every setting has its value.

    Raises:
        ValueError: When one is unknown or out of its range.
    """

    steps: int
    guidance_scale: Scales
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
    adapters: tuple[AdapterUse, ...] = ()
    """How adapters take part."""

    def __post_init__(self) -> None:
        """Check all of it."""
        check_options(sampler=self.sampler, schedule=self.schedule, steps=self.steps)
        for scale in self._all_scales():
            check_guidance(scale, self.guidance_rescale, self.guidance_interval)
        if self.objective != "v" and self.guidance_interval[0] > 1:
            raise ValueError(
                "guidance interval of a flow is in its time t, 0 to 1, got "
                f"{self.guidance_interval}, in which nothing is guided"
            )
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
        assert step_pairs(self.sigmas)

    def _all_scales(self) -> list[float]:
        found: list[float] = []
        for item in each_scale(self.guidance_scale):
            found += [scale for _, scale in item] if isinstance(item, tuple) else [item]
        return found

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
        sigma = own.sigma(strength * own.time(self.sigma_max))
        return self.starting_at(min(max(sigma, LEAST_START), HIGHEST_SIGMA))


def resolve_sampling(
    model: LatentDiffusion,
    options: SamplingOptions,
    *,
    frames: int | None = None,
    items: int | None = None,
) -> Sampling:
    """Fill in what the options leave open with the model's defaults.

    Args:
        model: The system.
        options: What is asked for.
        frames: Latent frames of each sound, by which a flow's linear grid is shifted; the model's
            window when None.
        items: Sounds of the batch, where they are known.

    Raises:
        TypeError: One is of a wrong type, or there is no such option.
        ValueError: One is unknown or out of its range.
    """
    sampling = _resolved(
        model.objective,
        options,
        timestep_shift=model.timestep_shift,
        frames=model.window_frames if frames is None else frames,
        items=items,
    )
    if options.get("adapters") is None:
        return replace(sampling, adapters=model.adapter_set.uses)
    model.adapter_set.check(sampling.adapters)
    return sampling


def _resolved(
    objective: Objective,
    options: SamplingOptions,
    *,
    timestep_shift: TimestepShift | None = None,
    frames: int = 1,
    items: int | None = None,
) -> Sampling:
    for name in options:
        if name not in OPTIONS:
            raise TypeError(f"unknown argument {name!r}{did_you_mean(name, OPTIONS)}")
    schedule = options.get("schedule")
    check_options(schedule=schedule)
    default = _defaults(objective, schedule)
    given = {
        name: OPTIONS[name](value, name)
        for name, value in options.items()
        if value is not None and name != "guidance_scale"
    }
    scales = check_scales(options.get("guidance_scale"), default=SAMPLING[objective].guidance_scale)
    if items is not None:
        scales_of(scales, items=items)
    sampling = Sampling(
        **{**default, **given, "guidance_scale": scales},  # type: ignore[arg-type]
        objective=objective,
        timestep_shift=timestep_shift,
        frames=frames,
    )
    if sampling.schedule == "linear":
        # Which tags of earlier sounds hold as the default.
        if sampling.sigma_min != default["sigma_min"]:
            raise ValueError(
                f"sigma_min {sampling.sigma_min:g} has no place in the schedule 'linear', whose "
                "levels follow from steps and sigma_max; leave it out"
            )
    elif not sampling.sigma_min < sampling.sigma_max:
        raise ValueError(
            "sigma_min and sigma_max must satisfy 0 < sigma_min < sigma_max, got "
            f"{sampling.sigma_min} and {sampling.sigma_max}"
        )
    return sampling


def default_sampling(model: LatentDiffusion, *, schedule: str | None = None) -> SamplingOptions:
    """Return how a model is sampled unless something else is asked for (section 4.2).

    Args:
        model: The system.
        schedule: The schedule that is asked for, on which the levels depend.
    """
    return _defaults(model.objective, schedule)


def check_for_any_model(options: SamplingOptions) -> None:
    """Check what can be known to be wrong before there is a model.

    Raises:
        TypeError: An option is of another type.
        ValueError: No model of any objective can be sampled so.
    """
    refused: list[ValueError] = []
    objectives = get_args(Objective)
    for objective in objectives:
        try:
            _resolved(objective, options)
        except ValueError as error:
            refused.append(error)
    if len(refused) == len(objectives):
        raise refused[0]


def _defaults(objective: Objective, schedule: str | None) -> SamplingOptions:
    own = SAMPLING[objective]
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


def check_options(
    *, sampler: str | None = None, schedule: str | None = None, steps: int | None = None
) -> None:
    """Check what can be known to be wrong before there is a model; None is the model's default.

    Raises:
        TypeError: One is of a wrong type.
        ValueError: There is no such sampler or schedule, or the steps are out of their range.
    """
    for name, value in (("sampler", sampler), ("schedule", schedule)):
        if value is not None:
            check_name(value, name)
    if sampler is not None:
        get_sampler(sampler)
    if schedule is not None and schedule not in SCHEDULES:
        raise ValueError(f"unknown schedule {schedule!r}; choose from {list(SCHEDULES)}")
    if steps is not None:
        check_steps(steps)
