"""Templates become HTML pages, each one file that fetches nothing, or Markdown."""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from stable_audio_open.pages.text import as_markdown


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
        data: What the template shows. Text in a page is escaped, so that it is never taken for
            HTML; Markdown (`.md.jinja`) escapes by the filter `plain` what is not meant as such.

    Raises:
        jinja2.UndefinedError: The template shows what is not given.
    """
    return _environment().get_template(template).render(data)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("stable_audio_open.pages"),
        autoescape=lambda name: name is None or not name.endswith(".md.jinja"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["spec"] = format  # {{ 1234.5 | spec(",.2f") }}
    environment.filters["plain"] = as_markdown
    return environment
