"""The page on which the demos of a run can be heard and seen."""

import html
import json
from pathlib import Path
from typing import TypedDict

PAGE = "index.html"
RECORD = "demos.json"

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem; color: #222; background: #fff }
section { margin-bottom: 2.5rem }
.demos { display: flex; flex-wrap: wrap; gap: 1.5rem }
figure { margin: 0; width: 30rem; max-width: 100% }
img, audio { width: 100%; display: block }
figcaption { margin-bottom: .3rem }
small { color: #666 }
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
    (folder / RECORD).write_text(json.dumps(demos, indent=2) + "\n")


def write_page(folder: Path) -> Path:
    """Write `index.html` over all steps in a folder of demos, the newest first, and return it."""
    steps = sorted((path.parent for path in folder.glob(f"step_*/{RECORD}")), reverse=True)
    sections = "\n".join(_section(step) for step in steps)
    page = folder / PAGE
    partial = folder / f".{PAGE}.partial"
    partial.write_text(
        "<!doctype html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>Demos</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>\n'
        f"<body><h1>Demos</h1>\n{sections}\n</body></html>\n"
    )
    partial.replace(page)
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
