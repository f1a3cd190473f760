"""A stage over items, and what every engine that runs it promises."""

from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar, runtime_checkable

import msgspec

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stage(msgspec.Struct, Generic[Item, Result], frozen=True):
    """What is done to each item, without regard to the others."""

    name: str
    """Name in a word or two, for people."""
    make: Callable[[], Callable[[Item], Result]]
    """Called once in each worker, for what is dear to make, such as a model. It is pickled: a
    function of a module, or a `partial` of one."""
    model: bool = False
    """Worth a worker that stays, and a GPU where workers are given one."""


@runtime_checkable
class Engine(Protocol):
    """Runs stages; whatever the engine, the results are the same."""

    def map(self, stage: Stage[Item, Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield the result of each item once, in the order of the items.

        A worker computes with one thread, whose sums may round otherwise than those of several. An
        error of the stage is raised in the place of the item, after the results before it.

        Raises:
            ChildProcessError: Workers were killed again and again at the same items.
        """


class Serial:
    """In this process, item by item."""

    def map(self, stage: Stage[Item, Result], items: Sequence[Item]) -> Iterator[Result]:
        """See `Engine`; nothing is pickled."""
        if items:
            yield from map(stage.make(), items)
