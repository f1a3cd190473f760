"""What a resumed run is asked for, where its checkpoint was written with something else."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.optim import Optimizer

from stable_audio_open.training.optimisation import OptimizerSettings

logger = logging.getLogger(__name__)

AVERAGE = "ema."
ADAPTER = ".lora_"
DISCRIMINATOR = "discriminator."


def apply_settings(trainer: pl.Trainer, settings: Mapping[str, OptimizerSettings]) -> None:
    """Let the settings of the optimisers take effect; a checkpoint brings its own.

    Args:
        trainer: Trainer of the run, about to start.
        settings: Settings of each optimiser in turn, by their place in the configuration.
    """
    schedules = trainer.lr_scheduler_configs
    for (field, one), optimizer, config in zip(
        settings.items(), trainer.optimizers, schedules, strict=True
    ):
        assert isinstance(optimizer, Optimizer)
        one.apply(optimizer, config.scheduler, field=field)  # type: ignore[arg-type]


def fit_average(state: dict[str, Tensor], *, online: str, wanted: Iterable[str]) -> None:
    """Start an average where a checkpoint has none, from its weights, or drop one.

    Args:
        state: Weights of a checkpoint, changed in place.
        online: Prefix of the weights that are averaged.
        wanted: Names of the average's tensors, without a prefix; none where none is kept.
    """
    names = set(wanted)
    kept = [name for name in state if name.startswith(AVERAGE)]
    if kept and not names:
        for name in kept:
            del state[name]
        logger.info("training.ema is null now: the average of the weights is dropped")
    elif names and not kept:
        found = {name: state[f"{online}{name}"] for name in names if f"{online}{name}" in state}
        state |= {f"{AVERAGE}{name}": tensor.clone() for name, tensor in found.items()}
        logger.info("training.ema is new: the average starts from the weights as they are")


def refuse_other_parts(own: Mapping[str, Tensor], found: Mapping[str, Tensor], where: str) -> None:
    """Refuse a checkpoint that trained other parts than the run is asked to.

    Args:
        own: Tensors of the run.
        found: Those of the checkpoint.
        where: The checkpoint.

    Raises:
        ValueError: Naming the field that has changed.
    """
    if found.keys() == own.keys() and all(found[name].shape == own[name].shape for name in own):
        return
    for field, part in (("training.adversarial", DISCRIMINATOR), ("training.lora", ADAPTER)):
        ours, theirs = ({k: v.shape for k, v in x.items() if part in k} for x in (own, found))
        if ours == theirs:
            continue
        has = "another" if ours and theirs else "none" if ours else "one"
        now = "another" if ours and theirs else "one" if ours else "null"
        words = f"{field}: the checkpoint was trained with {has}, and the configuration has {now}"
        raise ValueError(f"{where}: {words}; {_REMEDY}")
    differing = list(own.keys() ^ found.keys()) or [
        name for name in own if found[name].shape != own[name].shape
    ]
    raise ValueError(
        f"{where}: {len(differing)} tensors are not those of this run, such as "
        f"{min(differing)}; {_REMEDY}"
    )


def refuse_other_autoencoder(
    own: Mapping[str, Tensor], found: Mapping[str, Tensor], prefix: str, where: str
) -> None:
    """Refuse a checkpoint that was trained on the latents of another autoencoder.

    Args:
        own: Tensors of the run.
        found: Those of the checkpoint.
        prefix: Prefix of the autoencoder's.
        where: The checkpoint.

    Raises:
        ValueError: The weights differ.
    """
    for name, tensor in own.items():
        if name.startswith(prefix) and not torch.equal(found[name].to(tensor), tensor):
            raise ValueError(
                f"{where}: was trained on the latents of another autoencoder than "
                f"training.autoencoder (or training.initialize) names, which has other weights; "
                f"{_REMEDY}"
            )


def refuse_other_trained(trained: int, checkpoint: Mapping[str, Any], where: str) -> None:
    """Refuse a checkpoint whose optimiser followed another number of parameters of an autoencoder.

    Args:
        trained: How many the run's optimiser follows.
        checkpoint: The checkpoint.
        where: Its file.

    Raises:
        ValueError: The numbers differ.
    """
    found = sum(len(g["params"]) for g in checkpoint["optimizer_states"][0]["param_groups"])
    if found != trained:
        raise ValueError(
            f"{where}: training.train: {found} parameters were trained, and by the configuration "
            f"{trained} are; {_REMEDY}"
        )


_REMEDY = (
    "change it back, or start another run (training.trainer.name) from these weights with "
    "training.initialize"
)
