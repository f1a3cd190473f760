"""Captions by a table that a person can read: `captions.csv`.

A row is about the files that its pattern matches; the first that matches counts. A pattern is a
path below the folder of the packages, without its suffix: `*` stands for any characters, `<size>`
for one name or a part of it, which the other cells may repeat. The cells:

- family: what evaluation compares within; `-` for what is left out, with the reason as its sound
- sound: what is heard, with its article ("an explosion", "rain")
- words: how it is, separated by `;`
- also: further captions, separated by `;`
- asked: the same sound in other words, which are no caption; for measuring what was understood

`families.csv` beside it has captions for all sounds of a family. They hold most words of what is
asked, in other sentences: a text encoder that learns from captions alone knows no others.
"""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_name("captions.csv")
FAMILIES = "families.csv"
COLUMNS = ("pattern", "family", "sound", "words", "also", "asked")
LEFT_OUT = "-"
PLACE = re.compile(r"<([a-z]+)>")
NUMBER = re.compile(r"\d{1,2}")
"""What a placeholder may find that says nothing about a sound: the number of a take."""
VOWELS = "aeiou8"  # an 808 kick drum
SPELLED = {"hi": "high", "lo": "low", "mid": "middle"}
"""Names that stand for words."""


class Rule(NamedTuple):
    """A row of the table."""

    where: str
    """File and line, for messages."""
    pattern: re.Pattern[str]
    """Matches whole paths without their suffix."""
    family: str
    """What evaluation compares within; `-` where the files are left out."""
    sound: str
    """What is heard, with its article; the reason where the files are left out."""
    words: tuple[str, ...]
    """How it is."""
    also: tuple[str, ...]
    """Further captions."""
    asked: str
    """The same in other words."""


class Described(NamedTuple):
    """What the table says about a file."""

    rule: Rule
    """The row."""
    captions: tuple[str, ...]
    """Its captions, the plainest first."""
    tags: tuple[str, ...]
    """What is heard, and how it is."""
    asked: str
    """The same in other words."""


def read_rules(path: Path = TABLE) -> list[Rule]:
    """Read the table, and the captions of families where `families.csv` lies beside it.

    Raises:
        ValueError: Naming file and line: cells are missing, or one repeats a placeholder that the
            pattern lacks, or a family of `families.csv` has no row.
        OSError: It cannot be read.
    """
    families = _families(path.with_name(FAMILIES))
    rules = _rules(path)
    if unknown := sorted(families.keys() - {rule.family for rule in rules}):
        raise ValueError(f"{path.with_name(FAMILIES)}: {path.name} has no family {unknown[0]!r}")
    return [rule._replace(also=(*rule.also, *families.get(rule.family, ()))) for rule in rules]


def _families(path: Path) -> dict[str, tuple[str, ...]]:
    if not path.exists():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        return {row["family"]: _list(row["also"]) for row in csv.DictReader(file, strict=True)}


def _rules(path: Path) -> list[Rule]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = tuple(next(reader, []))
        if header != COLUMNS:
            raise ValueError(f"{path}: the columns are {', '.join(header)}; {', '.join(COLUMNS)}")
        return [_rule(cells, f"{path}:{reader.line_num}") for cells in reader if cells]


def describe(file: str, rules: Sequence[Rule]) -> Described | None:
    """Return what the first rule that matches says about a file, None where none does.

    Args:
        file: Path below the folder of the packages, with its suffix.
        rules: The table.
    """
    path = re.sub(r"\.\w+$", "", file)
    for rule in rules:
        found = rule.pattern.fullmatch(path)
        if found:
            return _described(
                rule, {name: _spelled(text) for name, text in found.groupdict().items()}
            )
    return None


def _rule(cells: Sequence[str], where: str) -> Rule:
    if len(cells) != len(COLUMNS):
        raise ValueError(f"{where}: {len(cells)} cells; give {len(COLUMNS)}")
    pattern, family, sound, words, also, asked = (cell.strip() for cell in cells)
    if not (pattern and family and sound) or (family != LEFT_OUT and not asked):
        raise ValueError(f"{where}: a cell is empty; give pattern, family, sound and asked")
    places = PLACE.findall(pattern)
    if unknown := [name for name in PLACE.findall(" ".join(cells[2:])) if name not in places]:
        raise ValueError(f"{where}: <{unknown[0]}> is not in the pattern {pattern!r}")
    if len(set(places)) < len(places):
        raise ValueError(f"{where}: {pattern!r} has a placeholder twice; give each a name")
    return Rule(where, _compiled(pattern), family, sound, _list(words), _list(also), asked)


def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*|<[a-z]+>)", pattern)
    meant = [
        ".*" if part == "*" else f"(?P<{part[1:-1]}>[^/]+)" if PLACE.fullmatch(part) else ""
        for part in parts
    ]
    return re.compile("".join(m or re.escape(p) for m, p in zip(meant, parts, strict=True)))


def _list(cell: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in cell.split(";") if part.strip())


def _spelled(text: str) -> str:
    words = re.sub(r"[_-]+", " ", text).split()
    return " ".join(SPELLED.get(word, word) for word in words)


def _described(rule: Rule, named: dict[str, str]) -> Described:
    def filled(text: str) -> str:
        return " ".join(PLACE.sub(lambda place: named[place[1]], text).split())

    words = [filled(word) for word in rule.words]
    words = [word for word in words if word and not NUMBER.fullmatch(word)]
    article, noun = _article(filled(rule.sound))
    if words:
        phrase = f"{' '.join(words)} {noun}"
        made = [_with_article(phrase) if article else phrase, f"{noun}, {', '.join(words)}", phrase]
    else:
        made = [f"{article} {noun}".strip(), noun]
    captions = dict.fromkeys([*made, *(filled(text) for text in rule.also)])
    return Described(
        rule, tuple(captions), tuple(dict.fromkeys([noun, *words])), filled(rule.asked)
    )


def _article(sound: str) -> tuple[str, str]:
    """Return the article of a phrase, empty where it has none, and the rest."""
    first, _, rest = sound.partition(" ")
    return (first, rest) if first in {"a", "an"} else ("", sound)


def _with_article(phrase: str) -> str:
    return f"{'an' if phrase[0].lower() in VOWELS else 'a'} {phrase}"
