"""The page on which the demos of a run can be heard and seen."""

import json
from pathlib import Path
from typing import NamedTuple, TypedDict

from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.pages.rendering import render

PAGE = "index.html"
RECORD = "demos.json"


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


class DemoStep(NamedTuple):
    """The demos of a step."""

    number: int
    folder: str
    demos: list[DemoRecord]


def write_page(folder: Path) -> Path:
    """Write `index.html` over all steps in a folder of demos, the newest first, and return it."""
    steps = sorted((path.parent for path in folder.glob(f"step_*/{RECORD}")), reverse=True)
    page = folder / PAGE
    text = render("demos.html.jinja", title="Demos", steps=[_read_step(step) for step in steps])
    replace_bytes(page, text.encode())
    return page


def _read_step(folder: Path) -> DemoStep:
    demos: list[DemoRecord] = json.loads((folder / RECORD).read_text())
    return DemoStep(int(folder.name.removeprefix("step_")), folder.name, demos)
