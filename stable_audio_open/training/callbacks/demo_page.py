"""The page on which the demos of a run can be heard and seen."""

import html
import json
from pathlib import Path
from typing import TypedDict

from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.pages.html import html_page

PAGE = "index.html"
RECORD = "demos.json"

STYLE = """
body { max-width: none; }
section { margin-bottom: 2.5rem; }
.demos { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; width: 30rem; max-width: 100%; }
img, audio { width: 100%; display: block; }
figcaption { margin-bottom: .3rem; }
"""


class DemoRecord(TypedDict):
    """One sound of a step; files are in the step's folder."""

    prompt: str
    guidance_scale: float
    seed: int
    seconds: float
    audio: str
    picture: str


def write_record(folder: Path, demos: list[DemoRecord]) -> None:
    """Say what the files in a step's folder are."""
    replace_bytes(folder / RECORD, (json.dumps(demos, indent=2) + "\n").encode())


def write_page(folder: Path) -> Path:
    """Write `index.html` over all steps in a folder of demos, the newest first, and return it."""
    steps = sorted((path.parent for path in folder.glob(f"step_*/{RECORD}")), reverse=True)
    sections = "\n".join(_section(step) for step in steps)
    page = folder / PAGE
    replace_bytes(page, html_page("Demos", f"\n{sections}\n", STYLE).encode())
    return page


def _section(step: Path) -> str:
    demos: list[DemoRecord] = json.loads((step / RECORD).read_text())
    number = int(step.name.removeprefix("step_"))
    figures = "\n".join(_figure(step.name, demo) for demo in demos)
    return f'<section><h2>Step {number}</h2><div class="demos">\n{figures}\n</div></section>'


def _figure(folder: str, demo: DemoRecord) -> str:
    prompt = html.escape(demo["prompt"])
    return (
        f"<figure><figcaption>{prompt} <small>guidance {demo['guidance_scale']:g}, "
        f"{demo['seconds']:.1f} s, seed {demo['seed']}</small></figcaption>"
        f'<img src="{folder}/{html.escape(demo["picture"])}" alt="spectrogram of {prompt}">'
        f'<audio controls preload="none" src="{folder}/{html.escape(demo["audio"])}"></audio>'
        "</figure>"
    )
