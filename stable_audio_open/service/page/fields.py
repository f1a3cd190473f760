"""Fields that several forms have."""

import gradio as gr

Component = gr.components.Component


def number_field(label: str, default: str, *, value: str = "") -> Component:
    """Return a field for a number that may be left empty: Gradio's own sends 0 then."""
    return gr.Textbox(value=value, label=label, placeholder=default, max_lines=1, max_length=40)


def sound_field(label: str) -> gr.Audio:
    """Return a field for a sound that is sent or recorded."""
    return gr.Audio(
        label=label, type="filepath", sources=["upload", "microphone"], buttons=[], editable=False
    )
