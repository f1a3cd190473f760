"""Which checkpoint of a run is as it was written, and whether its numbers are weights."""

import logging
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from stable_audio_open.checkpoint.weights.tensors import (
    CheckpointError,
    check_undamaged,
    read_header,
    read_tensors,
)
from stable_audio_open.nn.weights import type_fault, value_fault

logger = logging.getLogger(__name__)


def first_whole(candidates: Sequence[Path]) -> Path | None:
    """Return the first checkpoint that is whole, with a warning for each one before it.

    Each file is read once, at about 1 GB a second.

    Args:
        candidates: Checkpoints of a run, the highest step first.

    Raises:
        CheckpointError: When there are some, and each is damaged.
    """
    faults: list[str] = []
    for path in candidates:
        try:
            read_header(path)
            check_undamaged(path)
        except CheckpointError as error:
            faults.append(str(error))
            continue
        for fault in faults:
            logger.warning("%s; going on from %s", fault, path)
        return path
    if faults:
        others = "there is no other" if len(faults) == 1 else f"so are {len(faults) - 1} before it"
        raise CheckpointError(
            f"{faults[0]}; {others} (training.trainer.checkpoint.keep says how many are kept): "
            "give a whole one as --resume, or start another run with training.trainer.name"
        )
    return None


def check_numbers(task: nn.Module, path: Path) -> None:
    """Compare the tensors of a checkpoint with those that training puts them into.

    Names and shapes are left to the loading itself, and damage to `first_whole`.

    Raises:
        CheckpointError: When one is of a type that its place does not take, or not finite.
    """
    own = task.state_dict()
    stored = read_tensors(path, compared=False).tensors
    found = {name: tensor for name, tensor in stored.items() if name in own}
    if fault := type_fault(found, own) or value_fault(found):
        raise CheckpointError(f"{path}: {fault}")
