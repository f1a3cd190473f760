"""Options that the commands which make sounds share, group by group."""

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from stable_audio_open.cli import options, parsing

Variations = Annotated[int, typer.Option(min=1, max=10_000, help="Sounds per prompt.")]
Mix = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SHARE:PROMPT",
        help="Another prompt to mix in, such as 0.3:fire; may be given again, and the rest of 1 is "
        "the first one's.",
    ),
]


Window = Annotated[
    float | None,
    typer.Option(
        help="Seconds to compute at once; shorter is faster, but the model was trained on the "
        "whole.",
        show_default="the model's window",
    ),
]
SecondsStart = Annotated[
    float | None,
    typer.Option(
        help="Where in a longer recording the sound starts, in seconds.", show_default="0.0"
    ),
]


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that are not left open."""
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model, and how it computes."""

    model: options.Model = "tiny"
    variant: options.Variant = None
    revision: options.Revision = None
    text_encoder: options.TextEncoder = None
    lora: options.LimitedLora = None
    device: options.Device = None
    dtype: options.Dtype = "auto"
    attention: options.Attention = "sdpa"
    threads: options.Threads = None

    def loading(self) -> dict[str, Any]:
        """Return the arguments of `StableAudio.from_pretrained` but the model itself."""
        return {
            "device": self.device,
            "dtype": self.dtype,
            "text_encoder": self.text_encoder,
            "attention": self.attention,
            "lora": tuple(parsing.adapters(self.lora)),
            "variant": self.variant,
            "revision": self.revision,
        }


@dataclass(frozen=True, kw_only=True)
class ItemOptions:
    """What sounds are made from, beside their prompt."""

    negative_prompt: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PROMPT", help="What not to hear; given again, the texts count alike."
        ),
    ] = None
    condition: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=NUMBER",
            help="A number that the model is conditioned on, such as bpm=120; may be given again.",
        ),
    ] = None
    seed: Annotated[
        int | None,
        typer.Option(help="Seed of the first sound; the others count up.", show_default="random"),
    ] = None
    negative: Annotated[str | None, typer.Option("--negative", hidden=True)] = None

    def arguments(self) -> dict[str, Any]:
        """Return what was given, as Python takes it."""
        negatives = self.negative_prompt or []
        first = parsing.either(
            *("--negative-prompt", negatives[0] if negatives else None),
            *("--negative", self.negative),
        )
        found = {
            "negative_prompt": first if len(negatives) < 2 else [(text, 1.0) for text in negatives],
            "conditions": parsing.conditions(self.condition),
            "seed": self.seed,
        }
        return given(found)


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How latents are sampled; what is not given is the model's default."""

    steps: options.Steps = None
    guidance_scale: options.GuidanceScale = None
    guidance_at: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIGMA:SCALE",
            help="Guidance scale at a noise level, instead of --guidance-scale; given again, it "
            "changes from one to the next.",
        ),
    ] = None
    guidance_rescale: Annotated[
        float | None,
        typer.Option(help="0..1, against too loud results of strong guidance.", show_default="0.0"),
    ] = None
    guidance_interval: Annotated[
        tuple[float, float] | None,
        typer.Option(
            metavar="LOW HIGH",
            help="Lowest and highest noise level (sigma; of flows t) that is guided.",
            show_default="all",
        ),
    ] = None
    guidance_parallel: Annotated[
        float | None,
        typer.Option(
            help="0..1, how much is kept of what guidance adds along the prediction itself "
            "(adaptive projected guidance); 1 is plain guidance.",
            show_default="1.0",
        ),
    ] = None
    guidance_norm: Annotated[
        float | None,
        typer.Option(help="Longest step of guidance (root mean square).", show_default="any"),
    ] = None
    guidance_momentum: Annotated[
        float | None,
        typer.Option(
            help="Share of the step of guidance before that is added; -1..1.", show_default="0.0"
        ),
    ] = None
    sampler: Annotated[
        str | None,
        typer.Option(
            help="dpmpp-2m, dpmpp-2m-sde, dpmpp-3m-sde, euler, heun, rk4, ddim, ping-pong, or "
            "k-diffusion:NAME with that extra.",
            show_default="the model's: dpmpp-2m, euler of flows, ping-pong of those for few steps",
        ),
    ] = None
    schedule: Annotated[
        str | None,
        typer.Option(
            help="Spacing of the noise levels: polyexponential, karras, log-snr or linear.",
            show_default="the model's: polyexponential, log-snr of flows",
        ),
    ] = None
    sigma_min: Annotated[
        float | None,
        typer.Option(help="Last noise level before 0.", show_default="the schedule's, such as 0.3"),
    ] = None
    sigma_max: Annotated[
        float | None,
        typer.Option(help="First noise level.", show_default="the schedule's, such as 500"),
    ] = None
    guidance: options.Guidance = None
    rescale: Annotated[float | None, typer.Option("--rescale", hidden=True)] = None

    def arguments(self) -> dict[str, Any]:
        """Return what was given, as Python takes it.

        Raises:
            ValueError: An option is given under two names, or the scale in two ways.
        """
        scale = parsing.guidance_scale(self.guidance_scale, self.guidance)
        points = parsing.scales_at(self.guidance_at)
        if points and scale is not None:
            raise ValueError(
                f"--guidance-scale {scale:g} is the scale everywhere, and --guidance-at gives it "
                "by noise level; give one of them"
            )
        found = asdict(self) | {
            "guidance_scale": points or scale,
            "guidance_rescale": parsing.either(
                *("--guidance-rescale", self.guidance_rescale), *("--rescale", self.rescale)
            ),
        }
        return given(
            {k: v for k, v in found.items() if k not in ("guidance", "guidance_at", "rescale")}
        )


@dataclass(frozen=True, kw_only=True)
class JointOptions:
    """How what is new is joined to what is kept."""

    resampling: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100,
            help="Times that each ten steps are gone through, to fit better.",
            show_default="2",
        ),
    ] = None
    edges: Annotated[
        str | None,
        typer.Option(
            metavar="mirrored|muted|generated|released",
            help="What the latents beside a span hold.",
            show_default="mirrored",
        ),
    ] = None
    crossfade: Annotated[
        float | None,
        typer.Option(help="Seconds of crossfade at an edge.", show_default="0.05"),
    ] = None

    def arguments(self) -> dict[str, Any]:
        """Return what was given, as Python takes it."""
        return given(asdict(self))
