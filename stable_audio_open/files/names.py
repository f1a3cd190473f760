"""Names of files that are made of text."""

CHARACTERS, BYTES = 60, 180
"""The most of a name that is text: file systems take 255 bytes, and endings need some of them."""


def shortened_name(text: str) -> str:
    """Return the beginning of a text that is short enough for a part of a file's name.

    At most 60 characters and 180 bytes of UTF-8, of which no character is cut in two.
    """
    return text[:CHARACTERS].encode(errors="ignore")[:BYTES].decode(errors="ignore")
