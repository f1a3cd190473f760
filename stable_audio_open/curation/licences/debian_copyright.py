"""Debian's machine-readable copyright files (DEP-5): which stanza is about which file.

https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.curation.licences.policy import licence_refusal

FORMAT = re.compile(r"https?://\S*copyright-format\S*|https?://dep\.debian\.net\S*", re.IGNORECASE)
ADDRESS = re.compile(r"https?://[^\s<>\"']+[^\s<>\"'.,;)]")
PUBLIC_DOMAIN = ("pd", "public-domain", "public domain", "publicdomain")
RIGHTS = re.compile(
    r"^\s*(?:copyright\b|©|\(c\)|[:,\s]|\d{4}(?:\s*[-,\u2013]\s*\d{2,4})*|by\b)*\s*", re.IGNORECASE
)
EVERYTHING = "*"


class Stanza(NamedTuple):
    """What a copyright file says of some files."""

    patterns: tuple[str, ...]
    """Paths in the sources, with `*` for any characters, slashes too, and `?` for one."""
    licence: str
    """Short name, or several joined by "or" and "and"."""
    holders: str
    """Who holds the rights, without years."""
    address: str | None
    """Page that its comment names."""

    def matches(self, path: str) -> bool:
        """Whether it is about a file of the sources."""
        exact, wild = _compiled(self.patterns)
        return path in exact or (wild is not None and wild.fullmatch(path) is not None)


class CopyrightFile(NamedTuple):
    """A copyright file."""

    stanzas: tuple[Stanza, ...]
    source: str | None
    """Where the sources come from."""


def read_copyright(path: Path) -> CopyrightFile:
    """Read a copyright file.

    Args:
        path: `usr/share/doc/PACKAGE/copyright`.

    Raises:
        ValueError: It is not machine-readable, so that nobody but a reader can say which file is
            under which licence.
        OSError: It cannot be read.
    """
    from debian_inspector.debcon import get_paragraphs_data

    paragraphs = list(get_paragraphs_data(path.read_text(encoding="utf-8", errors="replace")))
    header = paragraphs[0] if paragraphs else {}
    if not FORMAT.search(str(header.get("format", ""))):
        raise ValueError(
            f"{path}: not machine-readable (it has no Format: line of DEP-5); read the licences "
            "and write a manifest instead"
        )
    stanzas = tuple(_stanza(one) for one in paragraphs if one.get("files"))
    if not stanzas:
        raise ValueError(f"{path}: says of no file what its licence is")
    return CopyrightFile(stanzas, _address(str(header.get("source", ""))))


def stanza_of(copyright: CopyrightFile, files: Sequence[str]) -> dict[str, tuple[Stanza, ...]]:
    """Find for each installed file the stanza that is about it: the last one that matches.

    A package installs under other paths than its sources have (`sounds/rain.wav` at
    `usr/share/games/NAME/sounds/rain.wav`). Taken is the pair of a folder of the sources and one of
    the package for which most names of folders and files agree.

    Args:
        copyright: A package's copyright file.
        files: Paths of the files in the package, with forward slashes.

    Returns:
        For each file its stanza; several where pairs that agree as well give it different ones;
        none where the copyright file says nothing of it.
    """
    patterns = {pattern for stanza in copyright.stanzas for pattern in stanza.patterns}
    agreeing = Counter[tuple[str, str]]()
    for pattern in patterns:
        agreeing.update(_pairs(pattern, files))
    most = max(agreeing.values(), default=0)
    pairs = [pair for pair, count in agreeing.items() if count == most] or [("", "")]
    return {
        file: tuple(
            dict.fromkeys(
                stanza
                for source, root in sorted(pairs)
                if (stanza := _last(copyright.stanzas, _in_sources(file, source, root))) is not None
            )
        )
        for file in files
    }


def accepted_licence(expression: str) -> str:
    """Return the licence that a training set goes by, where a file may be had under several.

    Args:
        expression: As the stanza has it: `GPL-2+ or CC-BY-3.0`.

    Returns:
        The first alternative that is accepted, or the whole expression where none is;
        `public domain` for all spellings of it.
    """
    alternatives = re.split(r",?\s+or\s+", expression.strip(), flags=re.IGNORECASE)
    for one in alternatives:
        if one.strip().lower() in PUBLIC_DOMAIN:
            return "public domain"
        if licence_refusal(one) is None:
            return one.strip()
    return expression.strip()


def _stanza(fields: dict[str, str]) -> Stanza:
    lines = [line.strip() for line in fields["files"].splitlines()]
    # Paths with spaces cannot be written in DEP-5, and are written none the less.
    patterns = [pattern for line in lines for pattern in (*line.split(), line)]
    licence = fields.get("license", "").strip().partition("\n")[0]
    holders = [RIGHTS.sub("", line).strip() for line in fields.get("copyright", "").splitlines()]
    return Stanza(
        tuple(dict.fromkeys(_plain(pattern) for pattern in patterns if pattern)),
        licence.strip(),
        "; ".join(filter(None, holders)),
        _address(fields.get("comment", "")),
    )


def _plain(pattern: str) -> str:
    return re.sub("/+", "/", pattern).removeprefix("./").removeprefix("/")


@lru_cache(maxsize=4096)
def _compiled(patterns: tuple[str, ...]) -> "tuple[frozenset[str], re.Pattern[str] | None]":
    exact = frozenset(pattern for pattern in patterns if not re.search(r"[*?\\]", pattern))
    wild = [_expression(pattern) for pattern in patterns if pattern not in exact]
    return exact, re.compile("|".join(wild), re.DOTALL) if wild else None


def _expression(pattern: str) -> str:
    """Return what matches as a pattern does, in which a backslash takes what follows as it is."""
    meant = {"*": ".*", "?": "."}
    parts = re.findall(r"\\.|.", pattern, flags=re.DOTALL)
    return "".join(meant.get(part, re.escape(part[-1])) for part in parts)


def _address(text: str) -> str | None:
    found = ADDRESS.search(text)
    return found.group() if found else None


def _pairs(pattern: str, files: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield a folder of the sources and one of the package for each name that agrees under them.

    A pattern says names up to its first wildcard; the longest run of them that is found in a file's
    path counts.
    """
    literal = re.split(r"[*?\\]", pattern)[0]
    exact = literal == pattern
    said = literal.split("/") if exact else literal.split("/")[:-1]
    if not said:
        return
    for file in files:
        names = file.split("/")
        ends = [len(names)] if exact else range(1, len(names))
        for end in ends:
            run = 0
            while run < min(end, len(said)) and names[end - 1 - run] == said[-1 - run]:
                run += 1
            if run:
                pair = "/".join(said[:-run]), "/".join(names[: end - run])
                for _ in range(run):
                    yield pair


def _in_sources(file: str, source: str, root: str) -> str | None:
    """Where a file lies in the sources, or None where the pair of folders does not say."""
    if root and not file.startswith(f"{root}/"):
        return None
    inside = file.removeprefix(f"{root}/") if root else file
    return f"{source}/{inside}" if source else inside


def _last(stanzas: Sequence[Stanza], path: str | None) -> Stanza | None:
    if path is None:
        everything = [s for s in stanzas if EVERYTHING in s.patterns]
        return everything[-1] if everything else None
    return next((s for s in reversed(stanzas) if s.matches(path)), None)
