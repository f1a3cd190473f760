"""Names of files of sounds by a pattern, such as `{index:03d}_{prompt}_{seed}`."""

import re
from string import Formatter
from typing import Final

from stable_audio_open.files.names import shortened_name

WORDS: Final = re.compile(r"(\.\d{1,3})?")
NUMBER: Final = re.compile(r"(0?\d{1,2})?d?")
FIELDS: Final = {"index": NUMBER, "prompt": WORDS, "seed": NUMBER}
"""What may stand in braces, and how it may be formatted."""
REFUSED: Final = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\ud800-\udfff]')
"""Separators of paths, and what some file systems do not take."""
DEFAULT: Final = "{prompt}_{seed}"
BYTES: Final = 215
"""The most of a name but its suffix: file systems take 255, and a number, `.json` and what a file
is called while it is written need some of them."""
LONGEST: Final = {"index": 10**6 - 1, "seed": 2**32 - 1, "prompt": 8 * "x"}
"""What a pattern has to have room for; of longer prompts, the beginning stands."""
INDEX_FIRST: Final = re.compile(r"\{index[^}]*\}(?![0-9{]).*")
"""Patterns by which names of two places always differ."""


class NamePattern:
    """Names that tell a sound by its place, prompt and seed.

    Args:
        pattern: Text with `{index}` (from 0), `{prompt}` and `{seed}` in braces, formatted as
            Python does (`{index:03d}`, `{prompt:.20}`); it may end with the suffix of a format.
        suffixes: Those that it may end with; the first one is taken where it ends with none.

    Raises:
        ValueError: Another field, format or character, or a name of nothing or too long.
    """

    def __init__(self, pattern: str = DEFAULT, *, suffixes: tuple[str, ...] = (".wav",)) -> None:
        stem, suffix = pattern, suffixes[0]
        for allowed in suffixes:
            if pattern.lower().endswith(allowed):
                stem, suffix = pattern[: -len(allowed)], pattern[-len(allowed) :]
        self.pattern, self.suffix = pattern, suffix
        self._stem = stem
        self._check()

    @property
    def begins_with_index(self) -> bool:
        """Names begin with the place, so that those of two places always differ."""
        return INDEX_FIRST.fullmatch(self._stem) is not None

    def name(self, *, index: int, prompt: str, seed: int) -> str:
        """Return the name of a file, with its suffix.

        Of the prompt, letters and digits are kept, at most 60 characters of them, and fewer where
        the name would be longer than 215 bytes.
        """
        words = re.sub(r"\W+", "-", prompt.lower()).strip("-") or "sound"
        most = BYTES
        while True:
            shortened = shortened_name(words, most).rstrip("-")
            stem = self._stem.format(index=index, prompt=shortened, seed=seed)
            if len(stem.encode()) <= BYTES or not shortened:
                return f"{stem}{self.suffix}"
            most = len(shortened.encode()) - 1

    def _check(self) -> None:
        allowed = ", ".join(f"{{{name}}}" for name in FIELDS)
        try:
            parts = list(Formatter().parse(self._stem))
        except ValueError as error:
            raise ValueError(
                f"name {self.pattern!r}: {error}; in braces stand {allowed}, such as "
                '"{index:03d}_{prompt}_{seed}"'
            ) from error
        for text, field, spec, conversion in parts:
            if found := REFUSED.search(text):
                raise ValueError(
                    f"name {self.pattern!r}: holds {found[0]!r}; give the name of a file, and its "
                    "folder as --output"
                )
            if field is None:
                continue
            if field not in FIELDS:
                raise ValueError(
                    f"name {self.pattern!r}: unknown field {{{field}}}; allowed: {allowed}"
                )
            if conversion or not FIELDS[field].fullmatch(spec or ""):
                shown = "{prompt:.20}" if field == "prompt" else f"{{{field}:03d}}"
                raise ValueError(
                    f"name {self.pattern!r}: {{{field}}} cannot be formatted so; allowed is, for "
                    f"example, {shown}"
                )
        longest = len(self._stem.format(**LONGEST).encode())
        if longest > BYTES:
            raise ValueError(
                f"name {self.pattern!r}: makes names of {longest} bytes, at most {BYTES} are "
                "allowed; give a shorter pattern"
            )
        shortest = self._stem.format(index=0, seed=0, prompt="x")
        if not shortest.strip() or shortest.startswith("."):
            raise ValueError(
                f"name {self.pattern!r}: is empty or begins with a dot, which hides a file; give "
                f"text and {allowed}"
            )
