"""Names of artists and titles as they are compared: what spellings differ in is taken away."""

import re
import unicodedata

BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\{[^{}]*\}")
GUESTS = re.compile(r"(?:^|\s)(?:feat|ft|featuring)(?:\.|\s|$).*", re.IGNORECASE)
EDITIONS = re.compile(
    r"\s[-\u2013\u2014]\s.*\b(?:remaster(?:ed)?|remix(?:ed)?|live|version|edit|mix|mono|stereo|"
    r"demo|acoustic|instrumental|bonus track)\b.*$",
    re.IGNORECASE,
)
APOSTROPHES = re.compile(r"['`\u2018\u2019\u02bc]")
PUNCTUATION = re.compile(r"[\W_]+")
ACCENTS = re.compile(r"[\u0300-\u036f]")
LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "$": "s"}
)
"""Letters that Unicode does not take apart."""
ARTICLE = "the"


def comparable(name: str) -> str:
    """Return a name without case, accents, punctuation, guests, bracketed suffixes and "The".

    "Beyoncé" is "beyonce"; "Beatles, The" is "beatles"; "Help! (Remastered 2009)" is "help";
    "Simon & Garfunkel" is "simon and garfunkel". What would leave nothing is not taken away: "!!!"
    stays, and so does what "(untitled)" has in its brackets. Empty only for an empty name.
    """
    plain = ACCENTS.sub("", unicodedata.normalize("NFKD", name.casefold().strip()))
    plain = unicodedata.normalize("NFC", plain.translate(LETTERS))
    for pattern in (BRACKETS, GUESTS, EDITIONS):
        shorter = pattern.sub(" ", plain)
        if PUNCTUATION.sub("", shorter):
            plain = shorter
    words = PUNCTUATION.sub(" ", APOSTROPHES.sub("", plain.replace("&", " and "))).split()
    if len(words) > 1 and words[0] == ARTICLE:
        words = words[1:]
    elif len(words) > 1 and words[-1] == ARTICLE and "," in plain:
        words = words[:-1]
    return " ".join(words) or " ".join(plain.split())


def unordered(name: str) -> str:
    """Return the words of a comparable name in alphabetic order: "Lennon, John" is John Lennon."""
    return " ".join(sorted(name.split()))
