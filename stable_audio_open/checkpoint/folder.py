"""Folders of a checkpoint that appear whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from stable_audio_open.checkpoint.tensors import CheckpointError
from stable_audio_open.files.named import errors_named


@contextmanager
def written_beside(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a scratch folder, and move what was written there into `folder` in the end.

    A failure leaves an older checkpoint there whole; a new folder appears with all that is in it.

    Args:
        folder: Created where it does not exist; files of other names in it stay.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder}: found a file; allowed: a folder, existing or new")
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        with errors_named(folder, inside=scratch, reads=True):
            written = scratch / "written"
            written.mkdir()
            yield written
            if not folder.exists():
                written.rename(folder)
                return
            for path in sorted(p for p in written.rglob("*") if p.is_file()):
                target = folder / path.relative_to(written)
                target.parent.mkdir(parents=True, exist_ok=True)
                path.replace(target)
    finally:
        shutil.rmtree(scratch)


def write_tensors(
    tensors: dict[str, Tensor], path: Path, *, like: Path, metadata: dict[str, str]
) -> None:
    """Write a safetensors file that those may read who may read `like`.

    safetensors lets nobody but the owner read its files.
    """
    save_file(tensors, path, metadata=metadata)
    shutil.copymode(like, path)
