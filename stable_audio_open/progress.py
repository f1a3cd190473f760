"""Progress bars on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


class RunProgress(Protocol):
    """Shows how far a run is."""

    def __call__(self, step: int, words: str | None = None) -> None:
        """Show a step, and other words than before where some are given."""


@contextmanager
def step_progress(steps: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """Yield a function to call after every step; the bar goes to standard error."""
    if not shown:
        yield lambda: None
        return
    with _bar("sampling", _speed()) as bar:
        task = bar.add_task("sampling", total=steps)
        yield lambda: bar.advance(task)


@contextmanager
def item_progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each of many items; the bar goes when all are done."""
    with _bar(what, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def run_progress(what: str, total: int, *, done: int) -> Iterator[RunProgress]:
    """Yield a function to call with the steps that are done and words on them.

    Args:
        what: Is done.
        total: Steps.
        done: Steps of before, which take no time.
    """
    from rich.progress import TextColumn

    with _bar(what, _speed(), TextColumn("{task.fields[words]}")) as bar:
        task = bar.add_task(what, total=total, completed=done, words="")

        def show(step: int, words: str | None = None) -> None:
            bar.update(task, completed=step)
            if words is not None:
                bar.update(task, words=words)

        yield show


def speed_words(steps_per_second: float) -> str:
    """Return a speed, of slow steps as the time that one takes."""
    if 0 < steps_per_second < 1:
        return f"{1 / steps_per_second:.2f} s/step"
    return f"{steps_per_second:.2f} steps/s"


def _bar(what: str, *columns: "ProgressColumn", transient: bool = False) -> "Progress":
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        *columns,
        console=Console(stderr=True),
        transient=transient,
    )


def _speed() -> "ProgressColumn":
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Speed(ProgressColumn):
        """Steps per second."""

        def render(self, task: Task) -> Text:
            return Text(speed_words(task.finished_speed or task.speed or 0))

    return Speed()
