"""What someone who mistyped a name is told, by everyone in the same way."""

from pathlib import Path

import pytest

import stable_audio_open
from stable_audio_open.arguments.nearest import did_you_mean, nearest


@pytest.mark.parametrize(
    ("name", "found"), [("eulr", "euler"), ("HEUN", "heun"), ("music", "Music"), ("chorus", None)]
)
def test_the_nearest_name(name: str, found: str | None) -> None:
    assert nearest(name, ["euler", "heun", "Music"]) == found


def test_the_end_of_a_message() -> None:
    assert did_you_mean("eulr", ["euler", "heun"]) == '; did you mean "euler"?'
    assert did_you_mean("chorus", ["euler", "heun"]) == ""


def test_nobody_else_compares_names() -> None:
    root = Path(stable_audio_open.__file__).parent
    found = [path.name for path in root.rglob("*.py") if "difflib" in path.read_text("utf-8")]
    assert found == ["nearest.py"]
