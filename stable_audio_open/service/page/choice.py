"""Which model makes a sound, and with which adapter; what a form says follows the choice."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from stable_audio_open.service.models import ModelFacts
from stable_audio_open.service.page.asking import NO_ADAPTER
from stable_audio_open.service.page.fields import Component, number_field


def defaults_of(facts: ModelFacts) -> dict[str, str]:
    """Return what a model takes where a field is left empty, by the names of arguments."""
    return {
        "duration": f"{facts.window_seconds:.1f}",
        "steps": str(facts.steps),
        "guidance_scale": f"{facts.guidance_scale:g}",
    }


def adapters_to_choose(facts: ModelFacts) -> list[str]:
    """Return the choice of adapters: those that fit a model, and none."""
    return [NO_ADAPTER, *facts.adapters]


def draw_choice(
    models: Sequence[ModelFacts], adapters: Sequence[str], *, with_adapters: bool
) -> dict[str, Component]:
    """Draw the choice of a model, and of an adapter; where there is none, nothing is shown."""
    names = [one.name for one in models]
    with_adapters = with_adapters and bool(adapters)
    with gr.Row(visible=len(names) > 1 or with_adapters):
        found: dict[str, Component] = {
            "model": gr.Dropdown(names, value=names[0], label="Model", visible=len(names) > 1)
        }
        if with_adapters:
            found["adapter"] = gr.Dropdown(
                adapters_to_choose(models[0]), value=NO_ADAPTER, label="Adapter"
            )
            found["adapter_weight"] = number_field("Weight of the adapter", "", value="1")
    return found


def follow_choice(components: Mapping[str, Component], models: Sequence[ModelFacts]) -> None:
    """Have the defaults and adapters of a form be those of the model that is chosen in it."""
    facts = {one.name: one for one in models}
    named = [name for name in defaults_of(models[0]) if name in components]
    adapter = components.get("adapter")

    def follow(model: str, chosen: str | None = None) -> list[Any]:
        defaults = defaults_of(facts[model])
        updates: list[Any] = [gr.Textbox(placeholder=defaults[name]) for name in named]
        if chosen is not None:
            choices = adapters_to_choose(facts[model])
            kept = chosen if chosen in choices else NO_ADAPTER
            updates.append(gr.Dropdown(choices=choices, value=kept))
        return updates

    model = components["model"]
    assert isinstance(model, gr.Dropdown)
    adapters = [] if adapter is None else [adapter]
    followers = [*(components[name] for name in named), *adapters]
    if followers and len(models) > 1:
        model.change(
            follow,
            [model, *adapters],
            followers,
            show_progress="hidden",
            api_visibility="private",
        )
