"""What may fail beside a training without ending it, and what ends it."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

_WORKER = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\) (?:is killed by signal: ([^.]*)|exited)"
)


@contextmanager
def failure_logged(what: str, step: int) -> Iterator[None]:
    """Log what the user, the disk or the model is to blame for, and go on.

    Args:
        what: Such as `the demos`.
        step: Step of the run.
    """
    try:
        yield
    except (ValueError, OSError, ArithmeticError, RuntimeError) as error:
        log.warning("%s at step %d failed: %s", what, step, error)


def raise_if_worker(error: Exception) -> None:
    """Say what it is where a process that reads ahead was killed.

    Raises:
        ChildProcessError: It was.
    """
    chain = filter(None, (error, error.__cause__, error.__context__))
    found = [match for match in (_WORKER.search(str(one)) for one in chain) if match]
    if not found:
        return
    # One error tells that it is gone, another by which signal.
    told = next((match for match in found if match[2]), found[0])
    signal = f" by the signal {told[2].strip()}" if told[2] else ""
    raise ChildProcessError(
        f"a data worker (process {told[1]}) was killed{signal}, as the system does where memory "
        "runs out; set data.workers lower, or to 0, and run the same command again to go on from "
        "the last checkpoint"
    ) from error
