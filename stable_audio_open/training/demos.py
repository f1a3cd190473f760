"""Sounds generated during training, to listen to."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from stable_audio_open.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.training.diffusion import DiffusionTraining

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What to generate: a prompt and its place in time."""

    prompt: str
    seconds_start: float
    seconds_total: float

    @classmethod
    def take(cls, conditions: Sequence[Mapping[str, Any]], count: int) -> "list[Demo]":
        """Return `count` demos, going round when there are fewer conditions."""
        return [cls(**condition) for condition in islice(cycle(conditions), count)]


class DemoWriter(pl.Callback):
    """Write WAV files of the averaged model to `folder/step_N` every so many steps.

    A demo that fails is logged and never ends the training.
    """

    def __init__(
        self,
        *,
        demos: Sequence[Demo],
        guidance_scales: Sequence[float],
        every: int,
        steps: int,
        folder: Path,
        seed: int,
    ) -> None:
        self.demos = list(demos)
        self.guidance_scales = list(guidance_scales)
        self.every = every
        self.steps = steps
        self.folder = folder
        self.seed = seed
        self._written = 0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Write the demos of this step, on the first process alone."""
        step = trainer.global_step
        if step % self.every or step == self._written or not trainer.is_global_zero:
            return
        assert isinstance(pl_module, DiffusionTraining)
        self._written = step
        model = pl_module.averaged()
        mode = model.training
        model.eval()
        folder = self.folder / f"step_{step:08d}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for index, demo in enumerate(self.demos):
                for scale in self.guidance_scales:
                    self._write(model, demo, scale, folder / f"{index}_{_name(demo.prompt)}")
        except (ValueError, OSError, ArithmeticError, RuntimeError) as error:
            logger.warning("the demos at step %d failed: %s", step, error)
        finally:
            model.train(mode)

    def _write(self, model: LatentDiffusion, demo: Demo, scale: float, stem: Path) -> None:
        longest = demo.seconds_total - demo.seconds_start
        audio = generate(
            model,
            demo.prompt,
            seconds_start=demo.seconds_start,
            duration=min(longest, model.window_seconds),
            steps=self.steps,
            guidance_scale=scale,
            seed=self.seed,
            progress=False,
        )
        audio.save(stem.with_name(f"{stem.name}_guidance_{scale:g}.wav"))


def _name(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", prompt.lower()).strip("_")[:40]
