from html.parser import HTMLParser

import pytest

from stable_audio_open.pages.html import STYLE, html_page


class Parts(HTMLParser):
    """Text by the element that it stands in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if self.open:
            self.texts[self.open[-1]] = self.texts.get(self.open[-1], "") + data


@pytest.mark.parametrize("text", ["a <b> & \"c\" 'd'", "</title><script>alert(1)</script>", ""])
def test_titles_are_text(text: str) -> None:
    """The same words in the tab and above the page, and no element of them."""
    page = Parts(html_page(text, "<p>body</p>"))
    assert page.open == []
    assert (page.texts.get("title", ""), page.texts.get("h1", "")) == (text, text)
    assert "script" not in page.texts
    assert page.texts["p"] == "body"


def test_heading_and_style_of_its_own() -> None:
    page = Parts(html_page("Tab", "", "p { color: red; }", heading="<3 recordings>"))
    assert (page.texts["title"], page.texts["h1"]) == ("Tab", "<3 recordings>")
    # Behind the common rules, so that they give way.
    assert page.texts["style"] == STYLE + "p { color: red; }"
