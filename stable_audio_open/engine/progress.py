"""Progress of any engine."""

from collections.abc import Iterator, Sequence

from stable_audio_open.engine.engine import Engine, Item, Result, Stage
from stable_audio_open.progress import item_progress


class Shown:
    """An engine whose progress goes to standard error.

    Args:
        engine: That does the work.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def map(self, stage: Stage[Item, Result], items: Sequence[Item]) -> Iterator[Result]:
        """See `Engine`."""
        with item_progress(stage.name, len(items)) as advance:
            for result in self.engine.map(stage, items):
                advance()
                yield result
