"""Text from outside, made fit to be read."""


def visible(text: str) -> str:
    """Return text with escapes for what is not seen: line breaks and other control characters."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def shortened(text: str, most: int) -> str:
    """Return text of at most so many letters, with an ellipsis for what is cut off."""
    return text if len(text) <= most else text[: most - 1] + "…"


def as_markdown(text: str) -> str:
    """Return text as one line that Markdown does not read as its own."""
    text = " ".join(text.split())
    for mark in "\\|*_`<[":
        text = text.replace(mark, f"\\{mark}")
    return text
