"""Processes of this machine as an engine; one that is killed costs time alone."""

import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from stable_audio_open.engine.engine import Item, Result, Stage

AHEAD = 4
"""Items of a worker that are begun, waiting or done before their turn: what a stop can cost."""
ATTEMPTS = 3
"""Kills in a row without a result between them that are one too many."""


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class SeveralProcesses:
    """Workers that each make the stage once and get item by item.

    Args:
        workers: Number of processes.

    Raises:
        ValueError: There is none.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        self.workers = workers

    def map(self, stage: Stage[Item, Result], items: Sequence[Item]) -> Iterator[Result]:
        """See `Engine`.

        Raises:
            ChildProcessError: Workers were killed several times in a row.
        """
        made = pickle.dumps(stage.make)
        workers = min(self.workers, len(items))
        done = kills = 0
        while done < len(items):
            before = done
            try:
                for result in _run(made, items[done:], workers):
                    # Before the result is handed on: it must not be made again.
                    done += 1
                    yield result
            except BrokenProcessPool as error:
                kills = kills + 1 if done == before else 1
                if kills == ATTEMPTS:
                    raise ChildProcessError(
                        f"{stage.name}: workers were killed {ATTEMPTS} times in a row at "
                        f"{items[done]!r} or one of the next {workers * AHEAD} items; with fewer "
                        "workers there is more memory for each"
                    ) from error


def _run(made: bytes, items: Sequence[Item], workers: int) -> Iterator[Any]:
    """Yield results in order until all are there or a worker is killed."""
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(made,)
    )
    remaining, ahead = iter(items), deque[Future[Any]]()
    try:
        while True:
            while len(ahead) < workers * AHEAD:
                try:
                    item = next(remaining)
                except StopIteration:
                    break
                ahead.append(pool.submit(_work, item))
            if not ahead:
                return
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


_made: bytes = b""
_stage: Callable[[Any], Any] | None = None


def _begin(made: bytes) -> None:
    """Prepare a worker; what can fail waits for the first item, whose place the error takes."""
    global _made
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["OMP_NUM_THREADS"] = "1"
    _made = made


def _work(item: Any) -> Any:
    global _stage
    if _stage is None:
        _stage = make_in_worker(_made)
    return _stage(item)


def make_in_worker(made: bytes) -> Callable[[Any], Any]:
    """Return a stage that computes with one thread, since each core has a worker."""
    import torch

    torch.set_num_threads(1)
    stage: Callable[[Any], Any] = pickle.loads(made)()
    return stage


def _end_with_parent() -> None:
    """End when the parent was killed, which a worker that waits for an item does not notice."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
