"""Progress bars on standard error."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def step_progress(steps: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """Yield a function to call after every step; the bar goes to standard error."""
    if not shown:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        """Steps per second."""

        def render(self, task: Task) -> Text:
            return Text(f"{task.finished_speed or task.speed or 0:.2f} steps/s")

    with Progress(
        TextColumn("sampling"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    ) as bar:
        task = bar.add_task("sampling", total=steps)
        yield lambda: bar.advance(task)


@contextmanager
def item_progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Yield a function to call after each of many items; the bar goes when all are done."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
