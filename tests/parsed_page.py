"""A page as a browser takes it, for tests of what it shows."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

VOID = {"br", "img", "input", "meta"}
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '</title></script><script>alert("x")</script> & \' onerror=alert(1) {{ 7 * 7 }}'


class Picture(NamedTuple):
    """A figure that a page holds."""

    alt: str
    texts: list[str]


class ParsedPage(HTMLParser):
    """What a page shows. Making one checks what every page has to be.

    Every element is closed in its order, the page names its language and title, columns have heads,
    players and pictures have words for who does not see them, and nothing is fetched.
    """

    def __init__(self, page: str | Path) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.by_tag: dict[str, list[str]] = {}
        self.rows_below: dict[str, list[list[str]]] = {"": []}
        """Rows of tables by the heading of a section above them."""
        self.feed(page.read_text("utf-8") if isinstance(page, Path) else page)
        self.close()
        self._check()

    def handle_decl(self, decl: str) -> None:
        assert decl == "DOCTYPE html"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
            self.by_tag.setdefault(tag, []).append("")
        if tag == "tr":
            self.rows_below[self.heading].append([])
        if tag == "td":
            self.rows_below[self.heading][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "h2":
            self.rows_below.setdefault(self.heading, [])
        if tag == "tr" and not self.rows_below[self.heading][-1]:
            self.rows_below[self.heading].pop()  # of heads alone

    def handle_data(self, data: str) -> None:
        self.texts.append(data)
        for tag in set(self.open):
            self.by_tag[tag][-1] += data
        if "td" in self.open:
            self.rows_below[self.heading][-1][-1] += data

    @property
    def heading(self) -> str:
        """The last heading of a section."""
        return self.by_tag.get("h2", [""])[-1]

    @property
    def rows(self) -> list[list[str]]:
        """Cells of all rows below heads of tables."""
        return [row for rows in self.rows_below.values() for row in rows]

    @property
    def text(self) -> str:
        """All that can be read, with single spaces."""
        return " ".join("".join(self.by_tag["body"]).split())

    def all(self, tag: str, attribute: str) -> list[str]:
        """Values of an attribute, of all elements of a kind that have it."""
        return [
            found[attribute] or ""
            for name, found in self.tags
            if name == tag and attribute in found
        ]

    @property
    def pictures(self) -> list[Picture]:
        """Figures that are held in the page itself."""
        found = []
        for attributes in (a for tag, a in self.tags if tag == "img"):
            kind, _, content = (attributes["src"] or "").partition(",")
            if kind == "data:image/svg+xml;base64":
                root = ElementTree.fromstring(base64.b64decode(content))
                # The paths of letters are no text: a browser finds letters of any script.
                texts = ["".join(text.itertext()) for text in root.iter(f"{SVG}text")]
                found.append(Picture(attributes["alt"] or "", texts))
        return found

    def _check(self) -> None:
        assert self.open == []
        assert self.all("html", "lang") == ["en"]
        assert self.all("meta", "charset") == ["utf-8"]
        assert len(self.by_tag["title"]) == len(self.by_tag["h1"]) == 1
        assert self.by_tag["title"][0].strip()
        assert len(self.by_tag.get("table", [])) == len(self.by_tag.get("thead", []))
        for tag, attributes in self.tags:
            assert not any(name.startswith("on") for name in attributes), (tag, attributes)
            if tag == "th":
                assert attributes["scope"] in ("col", "row")
            if tag in ("audio", "select", "input"):
                assert attributes["aria-label"]
            if tag == "img":
                assert attributes["alt"]
            assert not re.match(r"(https?:)?//", attributes.get("src") or "")
        assert {tag for tag, _ in self.tags}.isdisjoint({"link", "iframe", "object", "embed"})
        assert all("url(" not in style and "@import" not in style for style in self.by_tag["style"])
