"""Sounds generated during training, to listen to."""

import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from matplotlib.image import imread
from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.level.silence import is_silent
from stable_audio_open.audio.shown.spectrogram import draw_spectrogram
from stable_audio_open.conditions import SECONDS
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.pages.figure_style import png
from stable_audio_open.training.callbacks.demo_page import DemoRecord, write_page, write_record
from stable_audio_open.training.failures import failure_logged
from stable_audio_open.training.modes import in_eval_mode
from stable_audio_open.training.tasks.diffusion import DiffusionTraining

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What to generate: a prompt, its place in time, and what else the model is conditioned on."""

    prompt: str
    seconds_start: float = 0.0
    seconds_total: float = math.inf
    """The whole window where it is infinite."""
    numbers: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def take(cls, conditions: Sequence[Mapping[str, Any]], count: int) -> "list[Demo]":
        """Return `count` demos, going round when there are fewer conditions."""
        own = ("prompt", *SECONDS)
        return [
            cls(
                **{name: value for name, value in condition.items() if name in own},
                numbers={name: value for name, value in condition.items() if name not in own},
            )
            for condition in islice(cycle(conditions), count)
        ]


class DemoWriter(pl.Callback):
    """Write demos of the averaged model every so many steps.

    Writes sounds and spectrograms to `folder/step_N` and a page over all steps to
    `folder/index.html`, and gives them to W&B or TensorBoard where the run logs there. A demo that
    fails is logged and never ends the training.
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
        if step % self.every or step == self._written:
            return
        assert isinstance(pl_module, DiffusionTraining)
        self._written = step
        folder = self.folder / f"step_{step:08d}"
        with pl_module.averaged() as model:  # split weights are gathered by all
            if not trainer.is_global_zero:
                return
            with failure_logged("the demos", step):
                folder.mkdir(parents=True, exist_ok=True)
                with in_eval_mode(model):
                    records = [
                        self._write(model, demo, scale, folder / f"{index}_{_name(demo.prompt)}")
                        for index, demo in enumerate(self.demos)
                        for scale in self.guidance_scales
                    ]
                write_record(folder, records)
                write_page(self.folder)
                for shown in trainer.loggers:
                    show(shown, folder, records, step=step)

    def _write(self, model: LatentDiffusion, demo: Demo, scale: float, stem: Path) -> DemoRecord:
        longest = demo.seconds_total - demo.seconds_start
        audio = generate(
            model,
            demo.prompt,
            seconds_start=demo.seconds_start,
            duration=min(longest, model.window_seconds),
            conditions=demo.numbers,
            steps=self.steps,
            guidance_scale=scale,
            seed=self.seed,
            progress=False,
        )
        if is_silent(audio.samples):
            logger.warning(
                "demo %s/%s is silent: nothing above -60 dB", stem.parent.name, stem.name
            )
        [sound] = audio.save(stem.with_name(f"{stem.name}_guidance_{scale:g}.wav"))
        picture = sound.with_suffix(".png")
        drawn = draw_spectrogram(audio.samples[0], sample_rate=audio.sample_rate)
        replace_bytes(picture, png(drawn))
        return {
            "prompt": demo.prompt,
            "guidance_scale": scale,
            "seed": self.seed,
            "seconds": audio.duration,
            "audio": sound.name,
            "picture": picture.name,
        }


def show(logger: Logger, folder: Path, records: Sequence[DemoRecord], *, step: int) -> None:
    """Give the demos in a step's folder to a logger that can show them."""
    if isinstance(logger, TensorBoardLogger):
        for record in records:
            samples = read_audio(folder / record["audio"])
            tag = f"demos/{Path(record['audio']).stem}"
            # TensorBoard plays one channel.
            logger.experiment.add_audio(
                tag, samples.samples[0].mean(dim=0)[None], step, samples.sample_rate
            )
            picture = imread(folder / record["picture"])
            logger.experiment.add_image(tag, picture, step, dataformats="HWC")
    elif isinstance(logger, WandbLogger):
        import wandb

        for record in records:
            name, caption = f"demos/{Path(record['audio']).stem}", record["prompt"]
            sound = wandb.Audio(str(folder / record["audio"]), caption=caption)
            image = wandb.Image(str(folder / record["picture"]), caption=caption)
            logger.experiment.log(
                {name: sound, f"{name}/spectrogram": image, "trainer/global_step": step}
            )


def _name(prompt: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", prompt.lower()).strip("_")[:40]
