"""Train under torchrun with a split model, and write what each process held.

    torchrun --nproc-per-node 2 sharded_run.py CONFIG FOLDER

Once, after the backward pass of step 1, the gradients of process 1 alone are not numbers.
"""

import json
import sys
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import Tensor
from torch.distributed.tensor import DTensor

from stable_audio_open.builders.data import diffusion_data
from stable_audio_open.builders.initial import initial_model
from stable_audio_open.builders.run import DiffusionRun, training_run
from stable_audio_open.builders.training import diffusion_task, trainer_settings
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.training.callbacks.finite import SkipNonFinite
from stable_audio_open.training.callbacks.measurements import Measurements
from stable_audio_open.training.trainer import fit, make_trainer


def share(tensors: list[Tensor]) -> float:
    """Which part of the numbers lies in this process."""
    held = sum((x.to_local() if isinstance(x, DTensor) else x).numel() for x in tensors)
    return held / sum(x.numel() for x in tensors)


class BreakOnce(pl.Callback):
    def on_after_backward(self, trainer: pl.Trainer, pl_module: Any) -> None:
        if trainer.global_rank == 1 and trainer.global_step == 1:
            for parameter in pl_module.model.transformer.parameters():
                parameter.grad.to_local().fill_(float("nan"))


class Report(pl.Callback):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        model = pl_module.model
        states = trainer.optimizers[0].state.values()
        shares = {
            "transformer": share(list(model.transformer.parameters())),
            "conditioner": share(list(model.conditioner.parameters())),
            "average": share(list(pl_module.ema.parameters())),
            "optimiser": share([x for s in states for x in (s["exp_avg"], s["exp_avg_sq"])]),
        }
        (self.folder / f"{trainer.global_rank}.json").write_text(json.dumps(shares))


def main(file: str, folder: str) -> None:
    config = read_config(Path(file))
    assert isinstance(config, DiffusionModelConfig)
    run = training_run(config)
    assert isinstance(run, DiffusionRun)
    model = initial_model(config, run.training)
    batches = diffusion_data(run, model.autoencoder)
    callbacks = [BreakOnce(), SkipNonFinite(most_in_row=2), Report(Path(folder))]
    trainer = make_trainer(
        trainer_settings(run), measurements=Measurements(Path(folder), {}), callbacks=callbacks
    )
    fit(trainer, diffusion_task(config, run.training, model), batches, start=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
