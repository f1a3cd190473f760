"""A Ray cluster as an engine, by Ray Data: tasks, and actors for stages that hold a model."""

import logging
import math
import os
import pickle
import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stable_audio_open.engine.engine import Item, Result, Stage
from stable_audio_open.engine.processes import make_in_worker

BLOCK = 64
"""Items of a task, at most: what a killed worker can cost."""
SHARE = 8
"""Tasks of a worker, at least, where there are so many items."""
ANSWER = 10.0
"""Seconds to wait for a cluster."""
RETRIES = 3
"""Times that the work of a killed worker is done anew."""


class RayData:
    """Workers of a cluster whose nodes all have this package and see the files at the same paths.

    Relative paths hold there too: workers go to the folder in which this process is.

    Args:
        address: Address of the cluster, `HOST:PORT` or `auto`; None for one on this machine alone,
            which ends with this process.
        workers: Number of workers at once; as many as fit when None.
        gpus: GPUs of each worker whose stage holds a model; parts of one are shared.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ValueError: Numbers are out of range.
        ConnectionError: There is no cluster at the address.
    """

    def __init__(
        self, address: str | None = None, *, workers: int | None = None, gpus: float = 0.0
    ) -> None:
        if workers is not None and workers < 1:
            raise ValueError(f"workers must be at least 1, got {workers}")
        if not (math.isfinite(gpus) and gpus >= 0):
            raise ValueError(f"GPUs of a worker must be 0 or more, got {gpus}")
        self.workers = workers
        self.gpus = gpus
        _join(address)

    def map(self, stage: Stage[Item, Result], items: Sequence[Item]) -> Iterator[Result]:
        """See `Engine`.

        Raises:
            ChildProcessError: Workers of the cluster were killed.
        """
        if not items:
            return
        import ray
        import ray.data

        made = pickle.dumps(_Made(stage.make, str(Path.cwd())))
        gpus = self.gpus if stage.model else 0.0
        workers = min(len(items), self.workers or self._room(gpus))
        blocks = max(math.ceil(len(items) / BLOCK), min(len(items), workers * SHARE))
        rows = [{"item": pickle.dumps(item)} for item in items]
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        source = ray.data.from_items(rows, override_num_blocks=blocks)
        # Not more than a block has: Ray Data would join blocks up to it.
        batch = len(items) // blocks
        options: dict[str, Any] = {"batch_size": batch, "batch_format": "pyarrow", "num_cpus": 1}
        if stage.model:
            results = source.map_batches(
                _Actor,
                fn_constructor_args=(made,),
                concurrency=workers,
                num_gpus=gpus,
                max_restarts=-1,
                max_task_retries=RETRIES,
                **options,
            )
        else:
            results = source.map_batches(
                _run_task, fn_args=(made,), concurrency=workers, max_retries=RETRIES, **options
            )
        try:
            for table in results.iter_batches(batch_size=None, batch_format="pyarrow"):
                for outcome in table.column("outcome").to_pylist():
                    value, error = pickle.loads(outcome)
                    if error is not None:
                        raise error
                    yield value
        except ray.exceptions.RayError as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ChildProcessError(
                f"{stage.name}: the cluster gave up after {RETRIES} retries ({first})"
            ) from error

    def _room(self, gpus: float) -> int:
        """Return how many workers the cluster can hold.

        Raises:
            ValueError: Not one.
        """
        import ray

        there = ray.cluster_resources()
        room = int(there.get("CPU", 0))
        if gpus:
            room = min(room, int(there.get("GPU", 0) / gpus + 1e-9))
        if room < 1:
            raise ValueError(
                f"the cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs; "
                f"a worker needs 1 CPU and {gpus:g} GPUs"
            )
        return room


def _join(address: str | None) -> None:
    # Read when Ray is imported; nobody is told of runs.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    import ray.data  # noqa: F401, its logger is set below

    if not ray.is_initialized():
        _require_answer(address)
        ray.init(address, logging_level="error", log_to_driver=False)
    logging.getLogger("ray.data").setLevel(logging.ERROR)  # or it tells of each stage


def _require_answer(address: str | None) -> None:
    """Raise a ConnectionError at once where nobody listens; Ray tries for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if not (colon and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER).close()
    except OSError as error:
        raise ConnectionError(f"no Ray cluster answers at {address} ({error})") from error


class _Made(NamedTuple):
    """How a worker gets its stage."""

    make: Callable[[], Callable[[Any], Any]]
    folder: str

    def __call__(self) -> Callable[[Any], Any]:
        os.chdir(self.folder)
        return self.make()


class _Actor:
    """A worker that stays; its stage is made before the first item, whose place an error takes."""

    def __init__(self, made: bytes) -> None:
        self._made = made
        self._stage: Callable[[Any], Any] | None = None

    def __call__(self, table: Any) -> Any:
        return _outcomes(table, self._get)

    def _get(self) -> Callable[[Any], Any]:
        if self._stage is None:
            self._stage = make_in_worker(self._made)
        return self._stage


def _run_task(table: Any, made: bytes) -> Any:
    stage: list[Callable[[Any], Any]] = []

    def get() -> Callable[[Any], Any]:
        if not stage:
            stage.append(make_in_worker(made))
        return stage[0]

    return _outcomes(table, get)


def _outcomes(table: Any, get: Callable[[], Callable[[Any], Any]]) -> Any:
    """Return a column of pickled pairs of result and error; what follows an error is left out."""
    import pyarrow as pa

    outcomes = []
    for item in table.column("item").to_pylist():
        try:
            outcomes.append(pickle.dumps((get()(pickle.loads(item)), None)))
        except Exception as error:  # noqa: BLE001, raised again where the results are read
            outcomes.append(pickle.dumps((None, error)))
            break
    return pa.table({"outcome": pa.array(outcomes, pa.large_binary())})
