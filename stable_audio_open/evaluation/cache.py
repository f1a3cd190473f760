"""What was found in recordings, so that sets which share them listen to each once."""

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from stable_audio_open.files.hashes import file_hash

Arguments = TypeVarTuple("Arguments")
Found = TypeVar("Found")


class ResultCache:
    """Answers of functions of recordings, which are known by the content of their files.

    It grows by one answer for each recording and function, so that answers should be vectors or
    figures rather than audio.
    """

    def __init__(self) -> None:
        self._found: dict[Hashable, Any] = {}

    def copy(self) -> "ResultCache":
        """Return one that knows the same, and keeps to itself what it learns from here on."""
        made = ResultCache()
        made._found = dict(self._found)
        return made

    def of(
        self, find: Callable[[*Arguments], Found], *about: Hashable
    ) -> Callable[[*Arguments], Found]:
        """Return the function, computed once for the same arguments.

        Args:
            find: Of paths of files, under whatever names, and of values that can be hashed; nothing
                in it may depend on chance.
            about: All else that its answers depend on, which tells it from other functions.
        """

        def remembered(*arguments: *Arguments) -> Found:
            key = (about, *(file_hash(a) if isinstance(a, Path) else a for a in arguments))
            if key not in self._found:
                self._found[key] = find(*arguments)
            found: Found = self._found[key]
            return found

        return remembered
