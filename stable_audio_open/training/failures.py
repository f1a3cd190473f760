"""What may fail beside a training without ending it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


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
