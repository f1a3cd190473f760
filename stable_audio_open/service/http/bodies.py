"""What HTTP takes as JSON: the arguments of Python, by their names and with their defaults."""

import math
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from stable_audio_open.audio.finishing import Finishing
from stable_audio_open.editing.inpainting import CROSSFADE, RESAMPLING
from stable_audio_open.service.problems import InvalidError
from stable_audio_open.service.requests import Method, SoundRequest, sound_names

Number: TypeAlias = StrictFloat | StrictInt
Part: TypeAlias = tuple[StrictStr, Number] | tuple[Number, StrictStr]
Text: TypeAlias = StrictStr | list[Part]
"""A text; texts with weights, `[["rain", 0.7], ["fire", 0.3]]`; or texts with the seconds at which
they begin, `[[0, "rain"], [30, "storm"]]`."""
Prompt: TypeAlias = Text | list[Text]
Negative: TypeAlias = StrictStr | list[tuple[StrictStr, Number]]
Id: TypeAlias = Annotated[StrictStr, Field(max_length=64)]
Conditions: TypeAlias = dict[StrictStr, Number | list[Number]]


def _no_default(schema: dict[str, Any]) -> None:
    """Leave the default out of a description, where JSON has no word for it."""
    del schema["default"]


class Body(BaseModel):
    """What all bodies have in common: only known fields are taken."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Adapter(Body):
    """An adapter, and how much of it."""

    name: StrictStr
    """One of those of `/v1/adapters`."""
    weight: Number = 1.0
    """1 for its full effect."""


class Finish(Body):
    """What is done to the sounds in the end, in the order of the fields."""

    trim_silence: StrictBool = False
    """Take away what is below -60 dB before and after the sound."""
    sample_rate: StrictInt | None = None
    """Samples per second; the model's where null."""
    channels: StrictInt | None = None
    """1 or 2; the model's where null."""
    fade: Number | None = None
    """Seconds of a fade-out at the end; what the sound asks for where null."""
    loudness: Number | None = None
    """Integrated loudness in LUFS, such as -16."""
    peak: Number | None = None
    """Decibels of full scale that the highest sample reaches, such as -1."""


class Asked(Body):
    """What every request for sounds may say."""

    method: ClassVar[Method]

    model: StrictStr | None = None
    """One of those of `/v1/models`; the first where null."""
    adapters: list[Adapter] = []
    """Adapters of the model's weights."""
    finish: Finish = Finish()
    """What is done to the sounds in the end."""

    def request(self) -> SoundRequest:
        """Return what is asked for; what was left out has the default of the method.

        Raises:
            InvalidError: A step of `finish` is out of its range, or does not go with another.
        """
        own = {"model", "adapters", "finish", "preview_every", "stream"}
        given = {
            name: value
            for name, value in self.model_dump(exclude_unset=True).items()
            if value is not None
        }
        if "guidance_interval" in given:
            low, high = given["guidance_interval"]
            given["guidance_interval"] = low, math.inf if high is None else high
        sounds = {name: given[name] for name in sound_names(self.method) if name in given}
        try:
            finishing = Finishing(**self.finish.model_dump())
        except (ValueError, TypeError) as error:
            raise InvalidError(str(error), field="finish") from error
        return SoundRequest(
            method=self.method,
            arguments={k: v for k, v in given.items() if k not in own and k not in sounds},
            sounds=sounds,
            finishing=finishing,
            model=self.model,
            adapters=tuple((one.name, one.weight) for one in self.adapters),
            preview_every=given.get("preview_every", 0),
            stream=given.get("stream", False),
        )


class Sampled(Asked):
    """How latents are sampled; what is null is the model's default."""

    conditions: Conditions | None = None
    """The other numbers that the model is conditioned on, such as `{"bpm": 120}`."""
    negative_prompt: Negative | list[Negative | None] | None = None
    """What guidance leads away from."""
    seed: StrictInt | list[StrictInt] | None = None
    """Seed of the first sound, from which the others count up; or one for each; random where
    null."""
    steps: StrictInt | None = None
    """Sampling steps."""
    guidance_scale: (
        Number | list[Number | list[tuple[Number, Number]]] | list[tuple[Number, Number]] | None
    ) = None
    """How closely to follow the prompt; 1 switches guidance off. A number, one for each sound, or
    points `[[sigma, scale], ...]`."""
    guidance_rescale: Number = 0.0
    """0..1, how far guidance keeps the conditional velocity's spread."""
    guidance_interval: tuple[Number, Number | None] = (0.0, math.inf)
    """Lowest and highest noise level at which guidance applies; null is no highest one."""
    guidance_parallel: Number = 1.0
    """0..1, how much is kept of what guidance adds along x0; 1 is plain guidance."""
    guidance_norm: Annotated[Number, Field(json_schema_extra=_no_default)] = math.inf
    """Longest root mean square of what guidance adds at scale 2; no limit where left out."""
    guidance_momentum: Number = 0.0
    """Share of the step before that is added to this one's."""
    sampler: StrictStr | None = None
    """Name of a sampler, such as `dpmpp-3m-sde`."""
    schedule: StrictStr | None = None
    """`polyexponential`, `karras`, `log-snr` or `linear`."""
    sigma_min: Number | None = None
    """Last noise level before 0."""
    sigma_max: Number | None = None
    """First noise level."""
    preview_every: StrictInt = 0
    """Steps between previews, each of which takes time; 0 for none."""


class Generate(Sampled):
    """Sounds from text."""

    method = "generate"

    prompt: Prompt
    """A text; one for each sound; or instead of a text, texts with weights, or with the seconds at
    which they begin."""
    duration: Number | list[Number] | None = None
    """Seconds of sound, or of each; the model's window where null."""
    samples: StrictInt | None = None
    """Length in samples, instead of `duration`."""
    loop: StrictBool = False
    """Make a sound that can be repeated without a seam."""
    bars: Number | None = None
    """Length of a loop in bars of four beats; needs `bpm`."""
    bpm: Number | None = None
    """Beats per minute of these bars, which are added to the prompt."""
    seconds_start: Number = 0.0
    """Where in an imagined longer recording the sound starts."""
    window: Number | None = None
    """Seconds to work on at once; the model's window where null."""
    init_audio: Id | None = None
    """Sound to vary: the id of one that was sent, or of a job (`ID`, or `ID/ITEM`)."""
    init_strength: Number = 0.7
    """0..1, how much of `init_audio` is replaced."""
    init_noise_level: Number | None = None
    """Noise level to start at, instead of `init_strength`."""
    trim: StrictBool = True
    """Cut at the duration; else the whole window is returned."""
    fade: Number | None = None
    """Seconds of fade-out at an end that was cut; 5 ms where null."""
    stream: StrictBool = False
    """Give the sound piece by piece as it is decoded, from `/v1/jobs/ID/stream`."""


class Variation(Generate):
    """A sound again, otherwise."""

    init_audio: Id
    """Sound to vary: the id of one that was sent, or of a job (`ID`, or `ID/ITEM`)."""


class Edited(Sampled):
    """A sound of which a part is made anew."""

    audio: Id
    """The sound: the id of one that was sent, or of a job (`ID`, or `ID/ITEM`)."""
    prompt: Prompt
    """What the whole is to be, as of `generate`."""
    edges: Literal["mirrored", "muted", "generated", "released"] = "mirrored"
    """What the latents beside a span hold."""
    resampling: StrictInt = RESAMPLING
    """Times that each ten steps are gone through."""
    crossfade: Number = CROSSFADE
    """Seconds of the crossfades at the edges."""


class Inpaint(Edited):
    """Spans of a sound anew."""

    method = "inpaint"

    spans: list[tuple[Number, Number]]
    """Start and end of each, in seconds."""


class Extend(Edited):
    """What comes behind a sound, or before it."""

    method = "extend"

    seconds: Number
    """Length of what is added."""
    before: StrictBool = False
    """Put it before the sound."""
    fade: Number | None = None
    """Seconds of fade-out at the new end; 5 ms where null."""


class Reconstruct(Asked):
    """A sound through the autoencoder, to hear what latents keep."""

    method = "reconstruct"

    audio: Id
    """The sound: the id of one that was sent, or of a job (`ID`, or `ID/ITEM`)."""


def arguments_of_body(body: type[Asked]) -> dict[str, Any]:
    """Return the defaults of the arguments that a body takes, by name; `...` where it has none."""
    return {
        name: ... if field.is_required() else field.default
        for name, field in body.model_fields.items()
        if name not in ("model", "adapters", "finish", "preview_every", "stream")
    }
