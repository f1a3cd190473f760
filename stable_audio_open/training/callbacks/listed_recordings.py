"""Recordings that came, went or were described anew since a run was interrupted."""

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import pytorch_lightning as pl

from stable_audio_open.data.manifest import Recording

logger = logging.getLogger(__name__)

NAMED = 3
"""Files that are named of each kind at most."""


def listing(recordings: Sequence[Recording]) -> dict[str, str]:
    """Return the files in order, each with a hash of what is said about it."""
    digests: dict[str, Any] = {}
    for one in recordings:
        # Several lines may share a file.
        digest = digests.setdefault(one.file, hashlib.sha256())
        digest.update(msgspec.json.encode(one.known()))
    return {file: digest.hexdigest()[:16] for file, digest in digests.items()}


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Say how a listing differs from an earlier one; nothing where it does not."""
    kinds = {
        "added": [file for file in now if file not in before],
        "gone": [file for file in before if file not in now],
        "described otherwise": [f for f in now if f in before and now[f] != before[f]],
    }
    found = [f"{len(files)} {kind} ({_named(files)})" for kind, files in kinds.items() if files]
    if not found and list(before) != list(now):
        found = ["listed in another order"]
    return ", ".join(found)


class ListedRecordings(pl.Callback):
    """Keep the list of what is trained on in every checkpoint, and tell once how it has changed.

    Args:
        recordings: What the run is trained on.
        source: Manifest or folder that lists them.
    """

    def __init__(self, recordings: Sequence[Recording], source: str) -> None:
        self.listing = listing(recordings)
        self.source = source
        self._before: dict[str, str] | None = None

    def state_dict(self) -> dict[str, dict[str, str]]:
        """Return the list, for the checkpoint."""
        return {"listing": self.listing}

    def load_state_dict(self, state_dict: dict[str, dict[str, str]]) -> None:
        """Take the list of the checkpoint, to be compared."""
        self._before = state_dict["listing"]

    def on_train_start(self, trainer: pl.Trainer, *_: pl.LightningModule) -> None:
        """Tell what has changed; the run goes on."""
        if self._before is None or not trainer.is_global_zero:
            return
        found = changes(self._before, self.listing)
        if found:
            logger.warning(
                "%s has changed since the checkpoint of step %d: recordings %s; the run goes on "
                "with what is listed now",
                self.source,
                trainer.global_step,
                found,
            )


def _named(files: Collection[str]) -> str:
    first = ", ".join([*files][:NAMED])
    return first if len(files) <= NAMED else f"{first} and {len(files) - NAMED} more"
