"""Prompts drawn from the metadata of a recording (section 3.2).

Training draws them of manifests and shards, curation shows them of catalogues: both describe
recordings by the same fields. Configurations of both have the settings as a section.
"""

import random
from typing import Annotated, Literal, Protocol, runtime_checkable

from msgspec import Meta, Struct

Field = Literal["title", "description", "tags", "genres", "album", "artist", "year"]
Case = Literal["as written", "lower", "upper"]
Share = Annotated[float, Meta(ge=0, le=1)]
Name = Annotated[str, Meta(min_length=1)]


@runtime_checkable
class Described(Protocol):
    """What may be known about a recording; None or empty where it is not."""

    @property
    def catalogue(self) -> str:
        """Name of the catalogue that it comes from."""

    @property
    def title(self) -> str | None:
        """Name given by the author."""

    @property
    def description(self) -> str | None:
        """What the author says about it."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Words or short phrases."""

    @property
    def genres(self) -> tuple[str, ...]:
        """Names of genres."""

    @property
    def album(self) -> str | None:
        """Album, where it is a track of one."""

    @property
    def artist(self) -> str | None:
        """Performer."""

    @property
    def year(self) -> int | None:
        """Year of the release or the recording."""


class PromptSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How prompts are drawn of all metadata of a recording (section 3.2)."""

    fields: tuple[Field, ...] = (
        "title",
        "description",
        "tags",
        "genres",
        "album",
        "artist",
        "year",
    )
    """Metadata that a prompt may hold."""
    inclusion: Share = 0.5
    """Chance of each field that is known, apart from the others; at least one is taken."""
    named_share: Share = 0.5
    """Share of prompts that name their fields, in the catalogues below (the paper's half)."""
    named_catalogues: tuple[Name, ...] = ("fma",)
    """Catalogues whose prompts may name their fields: what the manifest's `source` begins with."""
    named: Name = "{field}: {value}"
    """A field with its name."""
    separator: str = ", "
    """Between fields, and between the values of a list."""
    cases: tuple[Case, ...] = ("as written", "lower", "upper")
    """Drawn evenly; what stands twice is drawn twice as often."""

    def __post_init__(self) -> None:
        """Check that there is something to draw from, and the ranges.

        Raises:
            ValueError: When there is nothing, a share lies outside 0..1, or `named` has other
                braces than `{field}` and `{value}`.
        """
        if not self.fields or len(set(self.fields)) < len(self.fields):
            raise ValueError(f"fields are {self.fields}; give each field once, and at least one")
        if not self.cases:
            raise ValueError("cases are empty; give at least one, such as 'as written'")
        for name in ("inclusion", "named_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie within 0..1, got {getattr(self, name)}")
        try:
            self.named.format(field="", value="")
        except (LookupError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(
                f"named is {self.named!r}; allowed are {{field}} and {{value}} in braces"
            ) from error


def draw_prompt(
    recording: Described, rng: random.Random, settings: PromptSettings | None = None
) -> str:
    """Return a random subset of the metadata as a string, in random order and case.

    Each known field is taken with the chance `inclusion`; when none is, one of them, each equally
    likely. The values of a list are shuffled, all of them are said. A field's name is said as it is
    in `Described`. Whitespace is collapsed.

    Args:
        recording: What is known.
        rng: The only source of chance.
        settings: Those of the paper by default.

    Raises:
        ValueError: When none of the fields is known.
    """
    settings = settings or PromptSettings()
    known = [name for name in settings.fields if _values(recording, name)]
    if not known:
        raise ValueError(
            f"none of {', '.join(settings.fields)} is known, so there is nothing to draw a prompt "
            "from; leave the recording out or describe it"
        )
    chosen = [name for name in known if rng.random() < settings.inclusion] or [rng.choice(known)]
    rng.shuffle(chosen)
    named = recording.catalogue in settings.named_catalogues and rng.random() < settings.named_share
    parts = []
    for name in chosen:
        values = _values(recording, name)
        rng.shuffle(values)
        value = settings.separator.join(values)
        parts.append(settings.named.format(field=name, value=value) if named else value)
    return _in_case(settings.separator.join(parts), rng.choice(settings.cases))


def is_described(recording: Described, settings: PromptSettings | None = None) -> bool:
    """Return whether there is anything to draw a prompt from."""
    fields = (settings or PromptSettings()).fields
    return any(_values(recording, name) for name in fields)


def _values(recording: Described, name: Field) -> list[str]:
    """Return what a field says, without empty values."""
    value = getattr(recording, name)
    values = value if isinstance(value, tuple) else () if value is None else (str(value),)
    return [" ".join(text.split()) for text in values if text.strip()]


def _in_case(text: str, case: Case) -> str:
    match case:
        case "as written":
            return text
        case "lower":
            return text.lower()
        case "upper":
            return text.upper()
