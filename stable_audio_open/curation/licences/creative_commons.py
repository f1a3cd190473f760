"""The many spellings of one Creative Commons licence, as URL or as title, read strictly."""

import re
from urllib.parse import unquote

import msgspec

from stable_audio_open.curation.licences.jurisdictions import CODES, PORTS

HOME = "https://creativecommons.org"
VERSIONS = {
    "CC0": ("1.0",),
    "CC Sampling+": ("1.0",),
    "CC NC-Sampling+": ("1.0",),
    "CC Sampling": ("1.0",),
    "Public Domain Mark": ("1.0",),
}
"""Where there is one version alone it may be left out."""
OTHER_VERSIONS = ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")

URL = re.compile(
    r"(?:https?:)?(?://)?(?:www\.)?creativecommons\.org/+"
    r"(?P<room>licenses|publicdomain)/+(?P<code>[a-z+-]+)"
    r"(?:/+(?P<version>\d\.\d)(?:/+(?P<port>[a-z]+))??)?"
    r"(?:/+(?:deed|legalcode|rdf)(?:\.[\w-]+)?)?/*"
)
TITLE = re.compile(
    r"(?P<body>.+?)(?:[ -]v?(?P<version>\d\.\d)(?: (?P<place>[a-z][a-z ]*?))?)?"
    r"(?: \((?P<again>cc[^()]*)\))?(?: public domain dedication)?"
)
NO_PORT = (None, "international", "unported", "generic", "universal")
WORDS = (
    (r"non[ -]?commercial", "nc"),
    (r"no[ -]?deriv(?:ative works|atives|ative|s)?(?![a-z])", "nd"),
    (r"share[ -]?alike", "sa"),
    (r"sampling[ -]?plus", "sampling+"),
    (r"attribution", "by"),
)
LONG = "attribution"
MARKS = {
    "sampling": "CC Sampling",
    "sampling+": "CC Sampling+",
    "nc-sampling+": "CC NC-Sampling+",
    "publicdomain": "public domain",
    "public-domain": "public domain",
    "zero": "CC0",
    "cc0": "CC0",
    "0": "CC0",
    "mark": "Public Domain Mark",
    "pdm": "Public Domain Mark",
    "public-domain-mark": "Public Domain Mark",
}
ELEMENTS = ("by", "nc", "nd", "sa")


class Licence(msgspec.Struct, frozen=True, kw_only=True):
    """A licence by name; only those of Creative Commons are known."""

    name: str
    """`CC0`, `CC-BY`, `CC Sampling+`, `CC-BY-NC-SA`, `Public Domain Mark`, ..., `unknown` or
    `missing`."""
    version: str | None = None
    """Version such as `4.0`; None where it is not stated."""
    port: str | None = None
    """Country of a ported version, as its URL writes it."""
    url: str | None = None
    """Canonical URL of the deed; None where the version is not stated."""

    @property
    def label(self) -> str:
        """Name, version and country: `CC-BY 3.0 US`."""
        return " ".join(filter(None, (self.name, self.version, (self.port or "").upper())))


def from_url(text: str) -> Licence | None:
    """Return the licence of a URL, whatever its scheme, language and ending; None if there is none.

    Args:
        text: The licence in any case, with or without `www.`, `legalcode`, `deed.de`, `%2B`,
            query and slashes.
    """
    plain = re.split(r"[?#]", unquote(text.strip().strip("<>")).casefold())[0]
    found = URL.fullmatch(plain)
    if not found:
        return None
    code, room = found["code"], found["room"]
    if (room == "publicdomain") != (code in ("zero", "mark")):
        return None
    name = MARKS.get(code) or _elements(code.split("-"))
    return _licence(name, found["version"], found["port"]) if name else None


def from_title(text: str) -> Licence | None:
    """Return the licence of a title or short name; None if any word of it is not understood.

    Args:
        text: Such as `Attribution-NonCommercial 3.0 United States`, `CC BY 4.0`, `CC0`.
    """
    plain = re.sub(r" ?\(aka [^()]*\)", "", " ".join(text.casefold().split()))
    plain = re.sub(r"^the | licen[cs]e\b", "", plain)
    bare = re.sub(r"^(?:creative commons|cc)[ -]", "", plain)
    found = TITLE.fullmatch(bare)
    if not found:
        return None
    place = found["place"]
    if place not in NO_PORT and place not in PORTS and place not in CODES:
        return None
    body = found["body"]
    prefixed = bare != plain or LONG in body or body in ("cc0", "sampling+", "sampling plus")
    for pattern, short in WORDS:
        body = re.sub(pattern, short, body)
    body = re.sub(r"[ -]+", "-", body)
    name = MARKS.get(body) or _elements(body.split("-"))
    if not name or not (prefixed or name in ("Public Domain Mark", "public domain")):
        return None
    licence = _licence(
        name, found["version"], None if place in NO_PORT else PORTS.get(place, place)
    )
    again = found["again"]
    if licence and again and again not in ("cc", "creative commons"):
        second = from_title(again)
        if second is None or second.name != name:
            return None
    return licence


def _elements(parts: list[str]) -> str | None:
    if (
        not set(parts) <= set(ELEMENTS)
        or len(set(parts)) < len(parts)
        or {"nd", "sa"} <= set(parts)
    ):
        return None
    return "CC-" + "-".join(element.upper() for element in ELEMENTS if element in parts)


def _licence(name: str, version: str | None, port: str | None) -> Licence | None:
    """Return the licence, if there is such a version."""
    versions = VERSIONS.get(name, () if name == "public domain" else OTHER_VERSIONS)
    if version is None and len(versions) == 1:
        version = versions[0]
    if version is not None and version not in versions:
        return None
    if port is not None and (port not in CODES or version is None or version == "4.0"):
        return None
    return Licence(name=name, version=version, port=port, url=_url(name, version, port))


def _url(name: str, version: str | None, port: str | None) -> str | None:
    if name == "public domain":
        return f"{HOME}/licenses/publicdomain/"
    if version is None:
        return None
    paths = {"CC0": "publicdomain/zero", "Public Domain Mark": "publicdomain/mark"}
    path = paths.get(name) or "licenses/" + re.sub("^CC[ -]", "", name).lower()
    return "/".join(filter(None, (HOME, path, version, port))) + "/"
