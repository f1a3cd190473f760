"""Options that stand once, in groups."""

from dataclasses import dataclass
from inspect import signature
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from stable_audio_open.cli.grouped import grouped


@dataclass(frozen=True, kw_only=True)
class Size:
    width: Annotated[int, typer.Option(help="Across.")] = 3
    deep: Annotated[bool, typer.Option("--deep")] = False


@dataclass(frozen=True, kw_only=True)
class Colour:
    colour: Annotated[str | None, typer.Option()] = None


@grouped
def paint(name: str, *, size: Size, coats: int = 1, colour: Colour) -> None:
    """Paint something."""
    typer.echo(f"{name} {size} {coats} {colour}")


def test_a_command_takes_the_options_of_its_groups() -> None:
    assert list(signature(paint).parameters) == ["name", "width", "deep", "coats", "colour"]
    app = typer.Typer()
    app.command()(paint)
    shown = CliRunner().invoke(app, ["door", "--width", "5", "--coats", "2", "--colour", "red"])
    assert shown.output == "door Size(width=5, deep=False) 2 Colour(colour='red')\n"
    shown = CliRunner().invoke(app, ["door", "--deep"])
    assert shown.output == "door Size(width=3, deep=True) 1 Colour(colour=None)\n"
    assert "Across." in CliRunner().invoke(app, ["--help"]).output
    assert paint.__doc__ == "Paint something."


def test_an_unknown_option_is_told() -> None:
    app = typer.Typer()
    app.command()(paint)
    with pytest.raises(typer.TyperException, match="No such option: --widht"):
        app(args=["door", "--widht", "5"], standalone_mode=False)
