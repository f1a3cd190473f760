"""Examples of what to ask for, in words that the bundled model knows; a press fills the form."""

from collections.abc import Mapping, Sequence

import gradio as gr

from stable_audio_open.service.page.fields import Component

Example = Mapping[str, str]
"""What is filled in, by the names of arguments."""

TEXTS: tuple[Example, ...] = (
    {"prompt": "deep kick drum", "duration": "2"},
    {"prompt": "tabla", "duration": "1"},
    {"prompt": "drum cymbal soft", "duration": "2"},
    {"prompt": "ambient drone", "duration": "8"},
)
LOOPS: tuple[Example, ...] = (
    {"prompt": "loop amen", "bars": "1", "bpm": "120"},
    {"prompt": "ambient choir", "bars": "2", "bpm": "90"},
)
PROMPTS: tuple[Example, ...] = (
    {"prompt": "snare drum"},
    {"prompt": "cowbell"},
    {"prompt": "ambient choir"},
)


def draw_examples(examples: Sequence[Example], components: Mapping[str, Component]) -> None:
    """Draw examples, each of which fills the same fields of a form."""
    if examples:
        names = list(examples[0])
        gr.Examples(
            [[one[name] for name in names] for one in examples],
            inputs=[components[name] for name in names],
            api_visibility="private",
        )
