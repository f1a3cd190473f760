"""What an examination finds: one line each, and a remedy where one is needed."""

from typing import Literal

import msgspec

State = Literal["ok", "missing", "warning", "fault"]
"""Works; is optional and not there; works less well than it could; does not work."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    subject: str
    """What was looked at, such as `torch` or `cuda:0`."""
    state: State
    """How it is."""
    detail: str
    """What was found."""
    remedy: str | None = None
    """A command or a step that mends it."""


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Findings of one kind."""

    name: str
    """The kind, such as `packages`."""
    findings: tuple[Finding, ...]
    """In the order in which they were looked at."""
