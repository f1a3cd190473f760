"""Templates become HTML pages: each is one file that fetches nothing."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined


class Table(NamedTuple):
    """Rows as a page shows them; numbers stand to the right."""

    head: tuple[str, ...]
    rows: Sequence[tuple[object, ...]]
    more: int = 0
    """Rows that are left out, which the page counts."""


class Plot(NamedTuple):
    """A figure as a page shows it."""

    title: str
    address: str
    """Data address, with all of the picture in it."""
    table: Table | None = None
    """The same values, for who would rather read them."""


def render(template: str, **data: object) -> str:
    """Return a page.

    Args:
        template: Name of a file in `pages/templates`.
        data: What the template shows. Text is escaped, so that it is never taken for HTML.

    Raises:
        jinja2.UndefinedError: The template shows what is not given.
    """
    return _environment().get_template(template).render(data)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("stable_audio_open.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["spec"] = format  # {{ 1234.5 | spec(",.2f") }}
    return environment
