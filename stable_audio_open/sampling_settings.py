"""How latents are sampled: what is left open is the model's own default."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeAlias, TypedDict, get_args

from stable_audio_open.arguments import check_number
from stable_audio_open.diffusion.guidance import check_guidance
from stable_audio_open.diffusion.objective import Objective, process
from stable_audio_open.diffusion.projected_guidance import Projection
from stable_audio_open.diffusion.samplers import get_sampler
from stable_audio_open.diffusion.schedule import karras, linear, log_snr, polyexponential
from stable_audio_open.diffusion.timestep_shift import TimestepShift
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.settings import FLOW_LEVELS, SAMPLING, check_steps

BETWEEN_LEVELS = {"polyexponential": polyexponential, "karras": karras}
FROM_NOISE = ("log-snr", "linear")
"""Schedules that begin with pure noise, where no first level is given."""
SCHEDULES = (*BETWEEN_LEVELS, *FROM_NOISE)

GivenScale: TypeAlias = float | Sequence[float] | Sequence[tuple[float, float]]
"""A guidance scale, one per item, or points (sigma, scale) between which it is interpolated."""


LOWEST_SIGMA, HIGHEST_SIGMA = 1e-12, 1e6
"""Noise levels that single precision can tell from silence and from noise alone."""


NUMBERS = (
    *("sigma_min", "sigma_max", "guidance_rescale"),
    *("guidance_parallel", "guidance_norm", "guidance_momentum"),
)
"""Settings that are a number."""


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
        for name in NUMBERS:
            check_number(getattr(self, name), name)
        if not isinstance(self.guidance_interval, tuple) or len(self.guidance_interval) != 2:
            raise TypeError(
                f"guidance_interval must be (low, high), got {self.guidance_interval!r:.60}"
            )
        for low_or_high in self.guidance_interval:
            check_number(low_or_high, "guidance_interval")
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
            check_number(given, "guidance_scale")
            return [given]
        if not given:
            raise ValueError("guidance_scale is an empty list; give at least one number")
        scales = []
        for one in given:
            sigma, scale = one if isinstance(one, tuple) else (1.0, one)
            check_number(sigma, "guidance_scale")
            check_number(scale, "guidance_scale")
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
    return _defaults(model.objective, schedule)


def check_for_any_model(options: SamplingOptions) -> None:
    """Check what can be known to be wrong before there is a model.

    Raises:
        TypeError: An option is of another type.
        ValueError: No model of any objective can be sampled so.
    """
    given = {name: _frozen(value) for name, value in options.items() if value is not None}
    refused: list[ValueError] = []
    objectives = get_args(Objective)
    for objective in objectives:
        settings = {**_defaults(objective, options.get("schedule")), **given}
        try:
            Sampling(**settings, objective=objective)  # type: ignore[arg-type]
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


def check_options(*, sampler: str | None, schedule: str | None, steps: int | None) -> None:
    """Check what can be known to be wrong before there is a model; None is the model's default.

    Raises:
        ValueError: When there is no such sampler or schedule, or the steps are out of their range.
    """
    for name, value in (("sampler", sampler), ("schedule", schedule)):
        if value is not None and not isinstance(value, str):
            raise TypeError(f"{name} must be a name, got {value!r:.60} ({type(value).__name__})")
    if sampler is not None:
        get_sampler(sampler)
    if schedule is not None and schedule not in SCHEDULES:
        raise ValueError(f"unknown schedule {schedule!r}; choose from {list(SCHEDULES)}")
    if steps is not None:
        check_steps(steps)
