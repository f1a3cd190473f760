"""What a data set asks of a generative model."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

ALL = "all"
"""The subset that keeps every prompt."""

Rule = Callable[[str], bool]
"""Whether a subset keeps a prompt."""


class CaptionPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """A caption of a recording."""

    id: str
    """Identifier of the caption, which names its generation."""
    text: str
    """The caption."""
    clip: str
    """The recording that it describes, which several captions may share."""
    references: tuple[str, ...]
    """Names under which the recording may be found, the best first."""


class Protocol(NamedTuple):
    """A data set and how the paper uses it."""

    name: str
    """Name that commands know it by."""
    title: str
    """Name as the paper writes it."""
    seconds: float
    """Length that generations and references are cut to."""
    read: Callable[[Path], list[CaptionPrompt]]
    """Reads the data set's own table of captions."""
    subsets: Mapping[str, Rule]
    """Rules of the subsets by name, `all` included."""

    def subset(self, name: str, prompts: Sequence[CaptionPrompt]) -> list[CaptionPrompt]:
        """Return the prompts of a subset, in their order.

        Raises:
            ValueError: There is no such subset.
        """
        if name not in self.subsets:
            raise ValueError(
                f"{self.name} has no subset {name!r}; allowed: {', '.join(self.subsets)}"
            )
        keeps = self.subsets[name]
        return [prompt for prompt in prompts if keeps(prompt.text)]


def without(words: Sequence[str]) -> Rule:
    """Return the rule that drops prompts with any of the words, even as a part of another word.

    Lower and upper case differ.
    """
    return lambda text: not any(word in text for word in words)


def keep_all(text: str) -> bool:  # noqa: ARG001, the rule of a subset
    """Keep every prompt."""
    return True


def prompts_hash(prompts: Sequence[CaptionPrompt]) -> str:
    """Return the SHA-256 of all captions with their identifiers, in order."""
    return hashlib.sha256(msgspec.json.encode(prompts)).hexdigest()
