"""What can be refused before a model is loaded."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from stable_audio_open.arguments.checks import check_flag, check_number
from stable_audio_open.audio.files import audio_info
from stable_audio_open.audio.finishing import Finishing, check_loop_finishing
from stable_audio_open.diffusion.samplers.k_diffusion import check_items
from stable_audio_open.editing.generate import check_loop
from stable_audio_open.editing.interpolation import check_count, prompts_on_the_way, seeds_of_ends
from stable_audio_open.editing.lengths import bars_duration, check_length
from stable_audio_open.editing.span_generation import check_joints
from stable_audio_open.editing.spans import check_spans
from stable_audio_open.editing.timeline import PromptsOverTime, check_timelines
from stable_audio_open.request.given_prompts import GivenPrompts, check_negatives, check_prompts
from stable_audio_open.request.request import STRENGTH, check_seeds, check_start
from stable_audio_open.request.sampling_settings import SamplingOptions, check_for_any_model

NOTHING = Finishing()


def check_before_loading(
    given: Mapping[str, Any], prompts: PromptsOverTime = (), finishing: Finishing = NOTHING
) -> None:
    """Check the arguments of `generate` that mean the same for every model.

    Args:
        given: Arguments; those that are not there are the model's.
        prompts: As `generate` takes them; none where they are not known yet.
        finishing: What is done to the sounds.

    Raises:
        TypeError: One is of another type.
        ValueError: One is out of its range, or does not go with another.
        AudioFileError: A recording cannot be read.
    """
    for name in ("loop", "trim"):
        check_flag(given.get(name, True), name)
    for name in ("window", "seconds_start"):
        if given.get(name) is not None:
            check_number(given[name], name)
    check_length(
        duration=given.get("duration"),
        samples=given.get("samples"),
        loop=given.get("loop", False),
        bars=given.get("bars"),
        bpm=given.get("bpm"),
    )
    _check_start(given)
    if given.get("loop"):
        check_loop(
            seconds_start=given.get("seconds_start", 0.0),
            init_audio=given.get("init_audio"),
            trim=given.get("trim", True),
            guidance_momentum=given.get("guidance_momentum", 0.0),
        )
        check_loop_finishing(finishing)
    items = len(check_timelines(prompts, duration=_shortest(given))) if prompts else 1
    _check_sampling(given, items)
    if "init_audio" in given:
        audio_info(given["init_audio"])


def check_edit(given: Mapping[str, Any], prompts: GivenPrompts) -> None:
    """Check the arguments of `inpaint` or `extend`, but for the finer ones of the model's window.

    Args:
        given: Arguments, `audio` among them as a file; those that are not there have their default.
        prompts: As the methods take them.

    Raises:
        ValueError: One is out of its range.
        AudioFileError: The recording cannot be read.
    """
    info = audio_info(given["audio"])
    if "spans" in given:
        check_spans(given["spans"], samples=info.frames, sample_rate=info.sample_rate)
    _check_sampling(given, len(check_prompts(prompts, "prompt")))
    check_joints(given.get("edges", "mirrored"), given.get("crossfade", 0.0))


def check_interpolation(given: Mapping[str, Any], prompt: str | tuple[str, str]) -> None:
    """Check the arguments of `interpolate`.

    Args:
        given: Arguments; those that are not there have their default.
        prompt: The first, and the last where there are two.

    Raises:
        ValueError: One is out of its range, or the two ends are the same.
    """
    count = check_count(given.get("count", 2))
    seeds_of_ends(given.get("seed"), prompts_on_the_way(prompt, count))
    seeds = given.get("seed")
    _check_sampling(given, len(seeds) if isinstance(seeds, Sequence) else 1)
    if isinstance(given.get("sampler"), str):
        check_items(given["sampler"], count)


def _check_sampling(given: Mapping[str, Any], items: int) -> None:
    conditions = given.get("conditions") or {}
    if not isinstance(conditions, Mapping):
        raise TypeError(f"conditions must be numbers by name, got {conditions!r:.60}")
    for name, value in conditions.items():
        for number in value if isinstance(value, list | tuple) else [value]:
            check_number(number, f"the condition {name}")
    check_seeds(given.get("seed"), items)
    if given.get("negative_prompt") is not None:
        check_negatives(given["negative_prompt"])
    options = {name: given[name] for name in SamplingOptions.__annotations__ if name in given}
    check_for_any_model(options)  # type: ignore[arg-type]
    if isinstance(given.get("sampler"), str):
        check_items(given["sampler"], items)


def _check_start(given: Mapping[str, Any]) -> None:
    """Check where sampling starts from a sound."""
    starts = [name for name in ("init_strength", "init_noise_level") if name in given]
    if starts and "init_audio" not in given:
        raise ValueError(
            f"{starts[0]} {given[starts[0]]} says how much is left of init_audio, which is missing"
        )
    if len(starts) > 1:
        shown = " and ".join(f"{name} {given[name]}" for name in starts)
        raise ValueError(f"{shown} are two starts from one sound; give one of them")
    check_start(given.get("init_strength", STRENGTH), given.get("init_noise_level"))


def _shortest(given: Mapping[str, Any]) -> float:
    """Return the seconds that a sound lasts, as far as that is known without the model."""
    if given.get("bars") is not None:
        return bars_duration(given["bars"], given["bpm"])
    duration = given.get("duration")
    if isinstance(duration, Sequence):
        return float(min(duration))
    return math.inf if duration is None else float(duration)
