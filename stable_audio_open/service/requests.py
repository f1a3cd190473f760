"""What is asked for: a method of the model, its arguments, and what becomes of its sounds."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import msgspec

from stable_audio_open.arguments.checks import check_integer, check_number, is_list
from stable_audio_open.arguments.keywords import check_keywords
from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import audio_info
from stable_audio_open.audio.finishing import Finishing
from stable_audio_open.editing.inpainting import RESAMPLING
from stable_audio_open.editing.lengths import seconds_of
from stable_audio_open.editing.timeline import count_items
from stable_audio_open.jobs.sounds.check import check_before_loading, check_edit
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.recorded.recorded import arguments_of, sound_arguments
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.models import ModelFacts
from stable_audio_open.service.problems import InvalidError, field_in

Method: TypeAlias = Literal["generate", "inpaint", "extend", "reconstruct"]
METHODS: Mapping[str, Callable[..., Audio]] = {
    "generate": StableAudio.generate,
    "inpaint": StableAudio.inpaint,
    "extend": StableAudio.extend,
}
"""Methods whose arguments are those of Python; `reconstruct` takes the sound alone."""
AUDIO = "audio"
ADAPTERS = "adapters"
"""An argument of Python that a request has a field of its own for."""
NEEDED = {"generate": ("prompt",), "inpaint": ("prompt", "spans"), "extend": ("prompt", "seconds")}
"""Arguments without a default, but for sounds."""
MOST_ADAPTERS = 4


class SoundRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for; what is not given has the default of the method, or of the model."""

    method: Method
    arguments: Mapping[str, Any] = {}
    """By the names that Python takes, but for sounds."""
    sounds: Mapping[str, str] = {}
    """Arguments that are sounds, `audio` or `init_audio`: the id of one that was sent, or of a job
    whose sound is meant, `ID` or `ID/ITEM`."""
    finishing: Finishing = Finishing()
    """What is done to the sounds in the end."""
    model: str | None = None
    """Name of a model; the first where None."""
    adapters: tuple[tuple[str, float], ...] = ()
    """Names of adapters, each with its weight."""
    preview_every: int = 0
    """Steps between previews, which take time; 0 for none."""
    stream: bool = False
    """Give the sound piece by piece as it is decoded; of `generate` alone, and of one item."""

    def given(self) -> dict[str, Any]:
        """Return the arguments that are not left open."""
        return {name: value for name, value in self.arguments.items() if value is not None}


def argument_names(method: Method) -> tuple[str, ...]:
    """Return the names of the arguments that change a sound, those that are sounds among them."""
    if method == "reconstruct":
        return (AUDIO,)
    return tuple(name for name in arguments_of(METHODS[method]) if name != ADAPTERS)


def sound_names(method: Method) -> frozenset[str]:
    """Return the names of the arguments that are sounds."""
    return frozenset({AUDIO}) if method == "reconstruct" else sound_arguments(METHODS[method])


def chosen_model(
    request: SoundRequest, models: Sequence[ModelFacts], adapters: Sequence[str]
) -> ModelFacts:
    """Return what is known of the model that is asked for.

    Args:
        request: What is asked for.
        models: All that there are.
        adapters: Names of all adapters.

    Raises:
        InvalidError: There is no such model or adapter, or they do not fit.
    """
    facts = {one.name: one for one in models}
    name = models[0].name if request.model is None else request.model
    for kind, asked, known in (
        ("model", [name], tuple(facts)),
        ("adapters", [name for name, _ in request.adapters], tuple(adapters)),
    ):
        for one in asked:
            if one not in known:
                near = did_you_mean(one, known) or f"; there are: {', '.join(known) or 'none'}"
                raise InvalidError(f"{kind}: there is none named {one!r:.60}{near}", field=kind)
    chosen = facts[name]
    for one, _ in request.adapters:
        if one not in chosen.adapters:
            fitting = ", ".join(chosen.adapters) or "none"
            raise InvalidError(
                f"adapters: {one!r} does not fit the model {name!r}; these do: {fitting}",
                field="adapters",
            )
    return chosen


def check_sound_request(
    request: SoundRequest, *, facts: ModelFacts, sounds: Mapping[str, Path], limits: Limits
) -> None:
    """Check what can be known before a worker begins.

    Args:
        request: What is asked for.
        facts: Of the model that is asked for.
        sounds: Files of the arguments that are sounds.
        limits: How much may be asked for.

    Raises:
        InvalidError: Something of it is wrong, or too much.
    """
    try:
        _check_names(request)
        _check_values(request, sounds)
        _check_extras(request)
        _check_limits(request, facts, sounds, limits)
    except (ValueError, TypeError) as error:
        raise invalid(str(error), request, sounds) from error


def invalid(message: str, request: SoundRequest, sounds: Mapping[str, Path]) -> InvalidError:
    """Return the error of a request, in which sounds are called by their argument."""
    for name, path in sounds.items():
        message = message.replace(str(path), name)
    names = {*argument_names(request.method), *Finishing.__struct_fields__}
    return InvalidError(message, field=field_in(message, {*names, "adapters", "preview_every"}))


def _check_names(request: SoundRequest) -> None:
    if request.method not in get_args(Method):
        raise ValueError(
            f'there is no method "{request.method}"{did_you_mean(request.method, get_args(Method))}'
        )
    if request.method == "reconstruct":
        for name in request.arguments:
            raise TypeError(f"reconstruct takes no argument {name!r}")
    else:
        check_keywords(METHODS[request.method], request.arguments)
        if ADAPTERS in request.arguments:
            raise TypeError("adapters are named beside the arguments, with a weight each")
    wanted = sound_names(request.method)
    for name in request.sounds:
        if name not in wanted:
            raise TypeError(f"{request.method} takes no sound {name!r}")
    for name in wanted & request.arguments.keys():
        raise TypeError(f"{name} must be the id of a sound, got it as a value; send it first")
    for name in NEEDED.get(request.method, ()):
        if request.arguments.get(name) is None:
            raise ValueError(f"{name} is missing; {request.method} needs it")
    if request.method != "generate" and AUDIO not in request.sounds:
        raise ValueError(f"audio is missing; {request.method} needs the id of a sound")


def _check_values(request: SoundRequest, sounds: Mapping[str, Path]) -> None:
    given = request.given()
    prompt = given.pop("prompt", ())
    match request.method:
        case "generate":
            check_before_loading({**given, **sounds}, prompt, request.finishing)
        case "inpaint" | "extend":
            check_edit({**given, **sounds}, prompt)
        case "reconstruct":
            audio_info(sounds[AUDIO])


def _check_extras(request: SoundRequest) -> None:
    if len(request.adapters) > MOST_ADAPTERS:
        raise ValueError(f"adapters must be at most {MOST_ADAPTERS}, got {len(request.adapters)}")
    names = [name for name, _ in request.adapters]
    for name, weight in request.adapters:
        if names.count(name) > 1:
            raise ValueError(f"adapters name {name!r} twice; give it once")
        if not math.isfinite(check_number(weight, f"the weight in adapters of {name}")):
            raise ValueError(f"adapters: the weight of {name} must be finite, got {weight}")
    if check_integer(request.preview_every, "preview_every") < 0:
        raise ValueError(f"preview_every must be at least 0, got {request.preview_every}")
    if not request.stream:
        return
    if request.method != "generate":
        raise ValueError(f"stream is for generate alone, got {request.method}; leave it out")
    for name in ("loop", "bars", "bpm", "samples", "trim", "fade"):
        if request.arguments.get(name) not in (None, False) or name in request.sounds:
            raise ValueError(f"{name} does not go with stream; leave one out")
    if request.finishing != Finishing():
        raise ValueError("stream gives the sound before it can be finished; leave one out")
    if count_items(request.arguments["prompt"]) != 1:
        raise ValueError("stream gives one sound, got several of prompt; ask for one")


def _check_limits(
    request: SoundRequest, facts: ModelFacts, sounds: Mapping[str, Path], limits: Limits
) -> None:
    given = request.given()
    for name, value in given.items():
        _check_parts(value, name, limits)
    prompts = given.get("prompt")
    items = 1 if prompts is None else count_items(prompts)
    if items > limits.items:
        raise ValueError(f"prompt is for {items} sounds, at most {limits.items} are made at once")
    texts = sum(len(list(_texts(given.get(name)))) for name in ("prompt", "negative_prompt"))
    if texts > limits.texts:
        raise ValueError(f"prompt has {texts} texts in all, at most {limits.texts} are taken")
    steps = given.get("steps", facts.steps)
    times = 1
    if request.method in ("inpaint", "extend"):
        times = check_integer(given.get("resampling", RESAMPLING), "resampling")
    if request.method != "reconstruct" and steps * max(1, times) > limits.steps:
        repeated = f", {times} times each," if times > 1 else ""
        raise ValueError(f"steps {steps}{repeated} are more than the {limits.steps} that may be")
    seconds = _seconds(request, facts, sounds, items)
    if seconds > limits.seconds:
        name = {"generate": "duration", "extend": "seconds"}.get(request.method, AUDIO)
        raise ValueError(
            f"{name} asks for {seconds:.2f} seconds in all, at most {limits.seconds:g} are made "
            "at once"
        )


def _check_parts(value: object, name: str, limits: Limits) -> None:
    if not is_list(value):
        return
    if len(value) > limits.parts:
        raise ValueError(f"{name} has {len(value)} entries, at most {limits.parts} are taken")
    for part in value:
        _check_parts(part, name, limits)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif is_list(value):
        for part in value:
            yield from _texts(part)


def _seconds(
    request: SoundRequest, facts: ModelFacts, sounds: Mapping[str, Path], items: int
) -> float:
    """Return the length of all sounds together."""
    given = request.given()
    if request.method != "generate":
        added = check_number(given.get("seconds", 0.0), "seconds")
        return items * (audio_info(sounds[AUDIO]).duration + added)
    length = seconds_of(
        given.get("duration"),
        samples=given.get("samples"),
        bars=given.get("bars"),
        bpm=given.get("bpm"),
        rate=facts.sample_rate,
    )
    if isinstance(length, Sequence):
        return float(sum(length))
    return items * (given.get("window", facts.window_seconds) if length is None else length)
