"""The forms: what each asks for, and by which components."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import gradio as gr

from stable_audio_open.service.models import ModelFacts
from stable_audio_open.service.page.choice import defaults_of, draw_choice, follow_choice
from stable_audio_open.service.page.examples import LOOPS, PROMPTS, TEXTS, Example
from stable_audio_open.service.page.fields import Component, number_field, sound_field
from stable_audio_open.service.page.spans import draw_spans
from stable_audio_open.service.requests import Method


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
    examples: tuple[Example, ...] = ()
    """What it may be filled with."""


class Kind(NamedTuple):
    """What makes a form, before it is drawn."""

    name: str
    method: Method
    draw: Callable[[ModelFacts], dict[str, Component]]
    sounds: tuple[str, ...] = ()
    fixed: Mapping[str, Any] = MappingProxyType({})
    prompted: bool = True
    """It has a prompt and settings of sampling."""
    examples: tuple[Example, ...] = ()


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
    components |= draw_choice(models, adapters, with_adapters=kind.prompted)
    follow_choice(components, models)
    return Form(kind.name, kind.method, components, kind.sounds, kind.fixed, kind.examples)


def _settings(facts: ModelFacts) -> dict[str, Component]:
    defaults = defaults_of(facts)
    with gr.Accordion("Settings", open=False):
        negative = gr.Textbox(label="Negative prompt", max_length=10_000)
        with gr.Row():
            steps = number_field("Steps", defaults["steps"])
            scale = number_field("Guidance scale", defaults["guidance_scale"])
        with gr.Row():
            seed = number_field("Seed", "any")
            dice = gr.Button("Dice", elem_classes="dice", min_width=60, scale=0)
    dice.click(None, None, seed, js="() => String(Math.floor(Math.random() * 4294967296))")
    return {
        "negative_prompt": negative,
        "steps": steps,
        "guidance_scale": scale,
        "seed": seed,
    }


def _duration(facts: ModelFacts) -> dict[str, Component]:
    return {"duration": number_field("Seconds", defaults_of(facts)["duration"])}


def _variation(facts: ModelFacts) -> dict[str, Component]:
    return {
        "init_audio": sound_field("Sound to be varied"),
        "init_strength": gr.Slider(
            0, 1, 0.6, label="Strength", info="0 keeps the sound, 1 nothing of it"
        ),
        **_duration(facts),
    }


def _inpainting(facts: ModelFacts) -> dict[str, Component]:
    del facts
    sound = sound_field("Sound to be changed")
    return {"audio": sound, "spans": draw_spans(sound)}


def _continuation(facts: ModelFacts) -> dict[str, Component]:
    del facts
    return {
        "audio": sound_field("Sound to go on from"),
        "seconds": number_field("Seconds to add", "", value="1"),
        "before": gr.Checkbox(label="Before it, not behind"),
    }


def _loop(facts: ModelFacts) -> dict[str, Component]:
    del facts
    with gr.Row():
        bars = number_field("Bars of four beats", "", value="1")
        bpm = number_field("Beats per minute", "", value="120")
    return {"bars": bars, "bpm": bpm}


def _reconstruction(facts: ModelFacts) -> dict[str, Component]:
    del facts
    return {"audio": sound_field("Sound to be encoded and decoded")}


KINDS = (
    Kind("Text", "generate", _duration, examples=TEXTS),
    Kind("Variation", "generate", _variation, sounds=("init_audio",), examples=PROMPTS),
    Kind("Inpainting", "inpaint", _inpainting, sounds=("audio",), examples=PROMPTS),
    Kind("Continuation", "extend", _continuation, sounds=("audio",), examples=PROMPTS),
    Kind("Loop", "generate", _loop, fixed={"loop": True}, examples=LOOPS),
    Kind("Reconstruction", "reconstruct", _reconstruction, sounds=("audio",), prompted=False),
)
