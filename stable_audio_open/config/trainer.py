"""A training run: how long, where, what it writes, and when it ends."""

from typing import Literal

from msgspec import Struct

from stable_audio_open.config.fields import Name, NonNegativeFloat, Positive, PositiveFloat, Size

MEASURED = ("validation/", "evaluation/")
"""Beginnings of the names of values that are measured now and then."""


class CheckpointConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a checkpoint is written and how many are kept."""

    every: Positive = 10000
    """Steps between checkpoints."""
    keep: Positive = 3
    """Older checkpoints than the last so many are deleted."""
    best: Name | None = None
    """Measured value of which the checkpoint with the best is kept too, as `best.ckpt`.

    Such as `validation/loss` or `evaluation/frechet`; the lowest is the best, of `evaluation/clap`
    and `evaluation/si_sdr` the highest."""

    def __post_init__(self) -> None:
        """Check that the value is one that is measured."""
        if self.best is not None:
            _check_measured("best", self.best)


class EarlyStoppingConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a run that gets no better."""

    metric: Name
    """Measured value to go by, such as `validation/loss` or `evaluation/frechet`."""
    patience: Positive
    """So many measurements in a row without a better value end the run."""
    least_change: NonNegativeFloat = 0.0
    """A value counts as better when it is better by more than this."""

    def __post_init__(self) -> None:
        """Check that the value is one that is measured."""
        _check_measured("metric", self.metric)


class TrainerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The run itself."""

    max_steps: Positive
    """Optimiser steps until the run ends."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Where it runs; a GPU if there is one when `auto`."""
    devices: Size | Literal["auto"] = "auto"
    """How many of them on each machine; all when `auto`."""
    nodes: Size = 1
    """Machines."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """How processes share the work: `ddp` copies the model to each, `fsdp` splits a transformer."""
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    """Number format of weights and arithmetic, in Lightning's terms."""
    compile: bool = False
    """Compile the networks (torch.compile): a slower start, then faster steps."""
    accumulate: Size = 1
    """Batches per optimiser step."""
    gradient_clip: PositiveFloat | None = None
    """Largest norm of the gradient; not limited when null."""
    most_skipped: Positive = 10
    """Steps in a row without a finite gradient after which the run stops."""
    log_every: Positive = 50
    """Steps between logged values."""
    validate_every: Positive = 1000
    """Steps between validations, where `data.validation` names recordings for it."""
    logger: Literal["csv", "wandb", "tensorboard"] = "csv"
    """Where the values go; only `wandb` needs an account."""
    checkpoint: CheckpointConfig = CheckpointConfig()
    """When a checkpoint is written and how many are kept."""
    early_stopping: EarlyStoppingConfig | None = None
    """When the run ends before `max_steps`; never when null."""
    output: Name = "runs"
    """Folder of checkpoints and logs."""
    name: Name | None = None
    """Folder of this run inside `output`; the configuration's name when null."""

    def __post_init__(self) -> None:
        """Check that there are processes to split a model over."""
        if self.strategy == "fsdp" and self.devices == 1 and self.nodes == 1:
            raise ValueError(
                "`strategy` is `fsdp`, which splits the model over processes, and `devices` x "
                "`nodes` is 1; it must be at least 2, or `strategy` be `auto`"
            )


def _check_measured(field: str, name: str) -> None:
    if not name.startswith(MEASURED):
        raise ValueError(
            f"`{field}` is {name!r}; it must be a measured value, such as `validation/loss` "
            "or `evaluation/frechet`"
        )
