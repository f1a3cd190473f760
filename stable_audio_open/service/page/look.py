"""How the page looks, in a light and in a dark room: every text is at least 4.5 to 1."""

import gradio as gr


def theme() -> gr.themes.Base:
    """Return Gradio's plain theme, with fonts of the machine and darker texts."""
    plain = gr.themes.Base(font="system-ui", font_mono="monospace")
    return plain.set(
        color_accent="*primary_600",
        body_text_color_subdued="*neutral_600",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
    )


CSS = """
.dark { --color-accent: var(--primary-400) }
.spans { --wave: var(--primary-700); --span: var(--primary-200) }
.dark .spans { --wave: var(--primary-300); --span: var(--primary-800) }
time, .playback { color: var(--body-text-color-subdued) !important }
.dice { align-self: end }
.status textarea { font-variant-numeric: tabular-nums }
footer { display: none !important }
"""
