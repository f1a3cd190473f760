"""The forms: what each asks for, and by which components."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import gradio as gr

from stable_audio_open.service.models import ModelFacts
from stable_audio_open.service.page.asking import NO_ADAPTER
from stable_audio_open.service.page.spans import draw_spans
from stable_audio_open.service.requests import Method

Component = gr.components.Component


class Form(NamedTuple):
    """One form of the page."""

    name: str
    """On its tab."""
    method: Method
    """What it asks of the model."""
    components: dict[str, Component]
    """By the names of arguments."""
    sounds: tuple[str, ...] = ()
    """Names of the components that hold a sound."""
    fixed: Mapping[str, Any] = MappingProxyType({})
    """Arguments that this form always gives."""


class Kind(NamedTuple):
    """What makes a form, before it is drawn."""

    name: str
    method: Method
    draw: Callable[[ModelFacts], dict[str, Component]]
    sounds: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = MappingProxyType({})
    prompted: bool = True
    """It has a prompt and settings of sampling."""


def draw_form(kind: Kind, models: Sequence[ModelFacts], adapters: Sequence[str]) -> Form:
    """Draw a form where Gradio's context stands."""
    facts = models[0]
    components: dict[str, Component] = {}
    if kind.prompted:
        components["prompt"] = gr.Textbox(
            label="Prompt", placeholder="deep kick drum", lines=2, max_length=10_000
        )
    components |= kind.draw(facts)
    if kind.prompted:
        components |= _settings(facts)
    components |= _choice(models, adapters, with_adapters=kind.prompted)
    return Form(kind.name, kind.method, components, kind.sounds, kind.fixed)


def _settings(facts: ModelFacts) -> dict[str, Component]:
    with gr.Accordion("Settings", open=False):
        negative = gr.Textbox(label="Negative prompt", max_length=10_000)
        with gr.Row():
            steps = _number("Steps", str(facts.steps))
            scale = _number("Guidance scale", f"{facts.guidance_scale:g}")
        with gr.Row():
            seed = _number("Seed", "any")
            dice = gr.Button("Dice", elem_classes="dice", min_width=60, scale=0)
    dice.click(None, None, seed, js="() => String(Math.floor(Math.random() * 4294967296))")
    return {
        "negative_prompt": negative,
        "steps": steps,
        "guidance_scale": scale,
        "seed": seed,
    }


def _choice(
    models: Sequence[ModelFacts], adapters: Sequence[str], *, with_adapters: bool
) -> dict[str, Component]:
    names = [one.name for one in models]
    with gr.Row(visible=len(names) > 1 or (bool(adapters) and with_adapters)):
        found: dict[str, Component] = {
            "model": gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1)
        }
        if with_adapters and adapters:
            found["adapter"] = gr.Dropdown(
                [NO_ADAPTER, *adapters], value=NO_ADAPTER, label="Adapter"
            )
            found["adapter_weight"] = _number("Weight of the adapter", "", value="1")
    return found


def _number(label: str, default: str, *, value: str = "") -> Component:
    """A field for a number that may be left empty: Gradio's own sends 0 then."""
    return gr.Textbox(value=value, label=label, placeholder=default, max_lines=1, max_length=40)


def _sound(name: str) -> gr.Audio:
    return gr.Audio(
        label=name, type="filepath", sources=["upload", "microphone"], buttons=[], editable=False
    )


def _duration(facts: ModelFacts) -> dict[str, Component]:
    return {"duration": _number("Seconds", f"{facts.window_seconds:.1f}")}


def _variation(facts: ModelFacts) -> dict[str, Component]:
    return {
        "init_audio": _sound("Sound to be varied"),
        "init_strength": gr.Slider(
            0, 1, 0.6, label="Strength", info="0 keeps the sound, 1 nothing of it"
        ),
        **_duration(facts),
    }


def _inpainting(facts: ModelFacts) -> dict[str, Component]:
    del facts
    sound = _sound("Sound to be changed")
    return {"audio": sound, "spans": draw_spans(sound)}


def _continuation(facts: ModelFacts) -> dict[str, Component]:
    del facts
    return {
        "audio": _sound("Sound to go on from"),
        "seconds": _number("Seconds to add", "", value="1"),
        "before": gr.Checkbox(label="Before it, not behind"),
    }


def _loop(facts: ModelFacts) -> dict[str, Component]:
    del facts
    with gr.Row():
        bars = _number("Bars of four beats", "", value="1")
        bpm = _number("Beats per minute", "", value="120")
    return {"bars": bars, "bpm": bpm}


def _reconstruction(facts: ModelFacts) -> dict[str, Component]:
    del facts
    return {"audio": _sound("Sound to be encoded and decoded")}


KINDS = (
    Kind("Text", "generate", _duration),
    Kind("Variation", "generate", _variation, sounds=("init_audio",)),
    Kind("Inpainting", "inpaint", _inpainting, sounds=("audio",)),
    Kind("Continuation", "extend", _continuation, sounds=("audio",)),
    Kind("Loop", "generate", _loop, fixed={"loop": True}),
    Kind("Reconstruction", "reconstruct", _reconstruction, sounds=("audio",), prompted=False),
)
