"""Checkpoints that are whole or not there."""

import os
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write beside the file, flush to the disk, then rename: a killed run leaves the older one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint.

        Raises:
            OSError: When it cannot be written (disk full); what was there before stays.
        """
        del storage_options  # of Lightning's remote file systems
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        try:
            with partial.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except (OSError, RuntimeError) as error:
            # torch closes its archive after the disk's error, and says that it is not whole.
            cause = error if isinstance(error, OSError) else error.__context__
            if not isinstance(cause, OSError):
                raise
            reason = cause.strerror
            kept = "the older one is kept" if path.is_file() else "older checkpoints are kept"
            raise OSError(
                cause.errno,
                f"the checkpoint could not be written ({reason}); {kept}; make room and run the "
                "same command again to go on from there",
                str(path),
            ) from error
        finally:
            partial.unlink(missing_ok=True)
