"""Folders of a checkpoint that appear whole or not at all."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.files.error_paths import errors_named
from stable_audio_open.files.lock import scratch_folder
from stable_audio_open.files.replaced import replace_folder, restore_folder


@contextmanager
def written_folder(
    folder: str | os.PathLike[str], *, replaced: Callable[[Path], bool] = lambda _: False
) -> Iterator[Path]:
    """Give a scratch folder, and put what was written there into `folder` in the end.

    The folder is replaced as a whole: neither a failure nor a kill leaves files of two checkpoints
    in it.

    Args:
        folder: Created where it does not exist; files of other names in it stay.
        replaced: Says which of those, by their paths in the folder, do not.

    Raises:
        CheckpointError: It is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder}: found a file; allowed: a folder, existing or new")
    target = folder.resolve()
    target.parent.mkdir(parents=True, exist_ok=True)
    restore_folder(target)
    with (
        scratch_folder(target.parent, target.name) as scratch,
        errors_named(folder, inside=scratch, reads=True),
    ):
        written = scratch / "written"
        written.mkdir()
        yield written
        if target.exists():
            shutil.copymode(target, written)
            _take_others(target, written, replaced)
        replace_folder(target, written)


def _take_others(old: Path, new: Path, replaced: Callable[[Path], bool]) -> None:
    """Give a folder the files of another one that it has not, and that it does not replace."""
    for name, folders, files in os.walk(old):
        inside = Path(name).relative_to(old)
        there = new / inside
        links = [found for found in folders if Path(name, found).is_symlink()]
        for found in {*folders} - {*links}:
            (there / found).mkdir(exist_ok=True)
        for found in (*files, *links):
            if not os.path.lexists(there / found) and not replaced(inside / found):
                _link(Path(name, found), there / found)


def _link(old: Path, new: Path) -> None:
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError:  # not every file system has links
        shutil.copy2(old, new, follow_symlinks=False)


def write_tensors(
    tensors: dict[str, Tensor], path: Path, *, like: Path, metadata: dict[str, str]
) -> None:
    """Write a safetensors file that those may read who may read `like`.

    safetensors lets nobody but the owner read its files.
    """
    save_file(tensors, path, metadata=metadata)
    shutil.copymode(like, path)
