import re
import tomllib
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import stable_audio_open
from stable_audio_open.pages.rendering import Plot, Table, render
from tests.parsed_page import HOSTILE, ParsedPage

PACKAGE = Path(stable_audio_open.__file__).parent
TEMPLATES = PACKAGE / "pages" / "templates"
SHARED = {"base.html.jinja", "parts.html.jinja"}


def test_text_is_never_html() -> None:
    page = ParsedPage(render("measurements.html.jinja", title=HOSTILE, about=[HOSTILE], curves=[]))
    assert page.by_tag["title"] == page.by_tag["h1"] == page.by_tag["li"] == [HOSTILE]
    assert "script" not in page.by_tag


def test_what_is_not_given_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="'about' is undefined"):
        render("measurements.html.jinja", title="t", curves=[])


def section(*tables: Table, plot: Plot | None = None) -> ParsedPage:
    sections = [{"name": "s", "tables": tables, "plot": plot}]
    return ParsedPage(render("catalogue.html.jinja", title="t", summary="", sections=sections))


def test_tables() -> None:
    """Numbers are grouped and stand to the right, below heads that do too."""
    shown = Table(("name", HOSTILE, "share"), [(HOSTILE, 1234, 1234.5), ("b", 0, 0.0)], more=1500)
    page = section(shown)
    assert page.rows == [[HOSTILE, "1,234", "1,234.50"], ["b", "0", "0.00"]]
    assert page.by_tag["th"] == ["name", HOSTILE, "share"]
    heads = [attributes.get("class") for tag, attributes in page.tags if tag == "th"]
    cells = [attributes.get("class") for tag, attributes in page.tags if tag == "td"]
    assert heads == [None, "number", "number"]
    assert cells == heads * 2
    assert "And 1,500 more." in page.text
    assert "more" not in section(shown._replace(more=0)).text


def test_figures() -> None:
    """With words for who does not see them, and values for who would rather read them."""
    plot = Plot(HOSTILE, 'a" onerror="alert(1)', Table(("x",), [("one",)]))
    page = section(plot=plot)
    assert page.all("img", "alt") == [HOSTILE]
    assert page.all("img", "src") == ['a" onerror="alert(1)']
    assert page.rows == [["one"]]
    assert len(page.by_tag["details"]) == 1
    assert "details" not in section(plot=plot._replace(table=None)).by_tag


def test_sections_say_that_they_are_empty() -> None:
    assert section(Table(("x",), [])).by_tag["p"][-1] == "None."
    assert "None." not in section(Table(("x",), [("y",)])).text


def test_every_template_is_there_and_used() -> None:
    sources = [path.read_text() for path in PACKAGE.rglob("*.py")]
    named = {
        name for text in sources for name in re.findall(r'"([\w-]+\.(?:html|md)\.jinja)"', text)
    }
    assert named | SHARED == {path.name for path in TEMPLATES.iterdir()}


def test_no_template_lets_text_become_html() -> None:
    """Escaping is of no use where a value stands outside of quotes or is called safe."""
    for path in TEMPLATES.iterdir():
        assert not re.search(r"=\s*\{\{|\bsafe\b|autoescape|Markup", path.read_text()), path.name


def test_markdown_is_escaped_where_a_value_is_not_markdown() -> None:
    """Words of whoever writes a card alone are taken for Markdown."""
    for path in TEMPLATES.glob("*.md.jinja"):
        values = re.findall(r"\{\{ (.*?) \}\}", path.read_text())
        assert values
        assert {v for v in values if "| plain" not in v} <= {"head", "about", "data", "code"}


def test_templates_are_installed() -> None:
    """What pyproject.toml lists as data of the package holds each of them."""
    project = Path(__file__).parents[2] / "pyproject.toml"
    listed = tomllib.loads(project.read_text())["tool"]["setuptools"]["package-data"]
    found = {path for pattern in listed["stable_audio_open"] for path in PACKAGE.glob(pattern)}
    assert set(TEMPLATES.iterdir()) <= found
