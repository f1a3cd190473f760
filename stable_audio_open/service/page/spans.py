"""Spans drawn on a waveform, with the seconds beside it: by mouse, by touch, or by keyboard."""

from pathlib import Path

import gradio as gr

from stable_audio_open.audio.files import AudioFileError, read_audio

ASSETS = Path(__file__).parent / "assets"
COLUMNS = 600
"""Points of the waveform that is drawn."""


def draw_spans(sound: gr.Audio) -> gr.Textbox:
    """Draw the waveform of a sound, and return the field that holds the spans."""
    drawing = gr.HTML(
        value={"peaks": [], "seconds": 0, "spans": ""},
        html_template=(ASSETS / "spans.html").read_text("utf-8"),
        css_template=(ASSETS / "spans.css").read_text("utf-8"),
        js_on_load=(ASSETS / "spans.js").read_text("utf-8"),
        elem_classes="spans",
    )
    field = gr.Textbox(
        label="Spans to be made anew, in seconds",
        placeholder="0.5-0.9, 1.2-1.4",
        info="Drag over the waveform, or write FROM-TO",
        elem_classes="spans-field",
    )
    sound.change(
        _waveform, [sound, field], drawing, show_progress="hidden", api_visibility="private"
    )
    # Not where the waveform is drawn, which would undo what was written in the meantime.
    drawing.input(
        lambda value: value["spans"],
        drawing,
        field,
        show_progress="hidden",
        api_visibility="private",
    )
    # Whoever writes it: an `input` that comes while another is under way is left out.
    field.change(
        lambda text, value: {**value, "spans": text},
        [field, drawing],
        drawing,
        show_progress="hidden",
        api_visibility="private",
    )
    return field


def _waveform(path: str | None, spans: str) -> dict[str, object]:
    """Return the loudest sample of each of `COLUMNS` parts, and the length."""
    if path is None:
        return {"peaks": [], "seconds": 0, "spans": spans}
    try:
        audio = read_audio(path)
    except AudioFileError as error:
        raise gr.Error(str(error).replace(path, "the sound"), print_exception=False) from error
    loudest = audio.samples[0].abs().amax(dim=0)
    width = max(1, -(-len(loudest) // COLUMNS))
    padded = loudest.new_zeros(width * COLUMNS)
    padded[: len(loudest)] = loudest
    peaks = padded.view(COLUMNS, width).amax(dim=1)[: -(-len(loudest) // width)]
    return {
        "peaks": [round(float(peak), 3) for peak in peaks],
        "seconds": round(audio.duration, 4),
        "spans": spans,
    }
