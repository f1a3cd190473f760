"""What README and the pages of `docs/` print: code, commands, files and what commands show."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = tuple(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: str
    language: str
    """"sh", "python", that of a file, or nothing for what a command shows."""
    title: str
    """The name of a file; empty for all else."""
    text: str

    @property
    def commands(self) -> list[str]:
        """The commands of a shell's block; those that `&&` joins stand apart."""
        lines = self.text.splitlines() if self.language == "sh" else []
        return [part.strip() for line in lines for part in line.split("&&")]


def blocks(page: str, language: str | None = None) -> list[Block]:
    """Return the blocks of a page in their order, or those of a language."""
    text = (ROOT / page).read_text("utf-8")
    fenced = r'^```(\w*)(?: title="(.*?)")?\n(.*?)^```$'
    found = [Block(page, *parts) for parts in re.findall(fenced, text, re.DOTALL | re.MULTILINE)]
    return [block for block in found if language in (None, block.language)]


def all_blocks(language: str | None = None) -> list[Block]:
    """Return the blocks of all pages, README's first; those that are printed twice come once."""
    once: dict[tuple[str, str], Block] = {}
    for page in PAGES:
        for block in blocks(page, language):
            once.setdefault((block.language, block.text), block)
    return list(once.values())


def all_commands() -> list[str]:
    """Return the commands of all pages; those that are printed twice come once."""
    return list(dict.fromkeys(part for block in all_blocks("sh") for part in block.commands))


def words(command: str) -> list[str]:
    """Return the arguments of a command of `stable-audio-open`."""
    program, *arguments = shlex.split(command)
    assert program == "stable-audio-open"
    return arguments
