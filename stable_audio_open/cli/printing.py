"""What reaches the terminal: never a control character of a name, a tag or a prompt."""

import re

import typer

LONGEST_QUOTE = 100
"""Characters of a quoted value that a message shows."""
# C0 and C1 but for line breaks and tabs, marks that turn the direction of text, lone surrogates.
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_QUOTED = re.compile(r"(?<!\w)(['\"])((?:\\.|(?!\1).)*)\1(?!\w)", re.DOTALL)


def printable(text: str) -> str:
    """Return text with escapes for what a terminal would obey and nobody would see."""
    return _UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(message: str) -> str:
    """Return a message as a line, in which quoted values have at most 100 characters."""
    return printable(" ".join(_QUOTED.sub(_cut, message).split()))


def echo(text: str = "") -> None:
    """Print a line, or several, on standard output."""
    typer.echo(printable(text))


def tell(text: str) -> None:
    """Print one line on standard output, whatever prompts and names hold."""
    typer.echo(one_line(text))


def _cut(found: re.Match[str]) -> str:
    quote, value = found[1], found[2]
    return found[0] if len(value) <= LONGEST_QUOTE else f"{quote}{value[:LONGEST_QUOTE]}…{quote}"
