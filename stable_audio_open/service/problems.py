"""What goes wrong for those who ask, in words that they may see."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was wrong, as data: the members of a problem document (RFC 9457)."""

    title: str
    """The kind of problem, always in the same words."""
    status: int
    """Status code of HTTP."""
    detail: str
    """What was wrong this time, and what to do."""
    field: str | None = None
    """Name of the argument that is meant, where there is one."""
    retry_after: int | None = None
    """Seconds after which the same may go well."""

    def document(self) -> Mapping[str, Any]:
        """Return the document, whose `type` says no more than the title."""
        return {"type": "about:blank", **msgspec.to_builtins(self)}


class ServiceError(Exception):
    """Something is not done, for a reason that is told to who asked."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Failed"

    def __init__(
        self, detail: str, *, field: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            title=self.title,
            status=self.status,
            detail=detail,
            field=field,
            retry_after=retry_after,
        )


class InvalidError(ServiceError):
    """What is asked for cannot be made, whoever asks and whenever."""

    status = 422
    title = "Invalid request"


class TooLargeError(ServiceError):
    """What is sent has more bytes than are taken."""

    status = 413
    title = "Too large"


class UnknownError(ServiceError):
    """There is no such thing, or it is somebody else's."""

    status = 404
    title = "Not found"


class NotThereError(ServiceError):
    """What is asked for is not there yet, or will never be."""

    status = 409
    title = "Not there"


class BusyError(ServiceError):
    """There is no room at present."""

    status = 429
    title = "Too many requests"


class EndingError(ServiceError):
    """The service takes nothing more."""

    status = 503
    title = "Not available"


def field_in(message: str, names: Iterable[str]) -> str | None:
    """Return the first of some names that stands in a message, or None.

    Words may stand for underscores, as in `guidance scale`, and one for several, as in `span`.
    """
    found: list[tuple[int, int, str]] = []
    for name in names:
        words = name.removesuffix("s").replace("_", "[_ ]")
        if place := re.search(rf"\b{words}s?\b", message):
            found.append((place.start(), -len(name), name))
    return min(found)[2] if found else None
