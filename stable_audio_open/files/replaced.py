"""A folder in the place of another, so that a kill in between loses neither."""

import logging
import shutil
from pathlib import Path

logger = logging.getLogger(__name__)


def replace_folder(target: Path, new: Path) -> None:
    """Put a folder in the place of another, which is deleted, or of nothing.

    Args:
        target: Where it goes.
        new: The folder, on the same file system.

    Raises:
        OSError: It cannot; what was there is there.
    """
    old = _put_by(target)
    if target.exists():
        target.rename(old)
    try:
        new.rename(target)
    except OSError:
        restore_folder(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def restore_folder(target: Path) -> None:
    """Put back what `replace_folder` had put by when it was killed, or finish deleting it."""
    old = _put_by(target)
    if not old.exists():
        return
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        return
    old.rename(target)
    logger.warning("%s: is what it was before a process was killed that replaced it", target)


def _put_by(target: Path) -> Path:
    return target.with_name(f".{target.name}.before")
