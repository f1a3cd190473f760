"""Training of the diffusion transformer: the model's objective on latents (section 4.2)."""

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.diffusion.dit import inpainting_channels
from stable_audio_open.diffusion.objective import TimestepSampler, drop_conditions, noise_latents
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.device import sent
from stable_audio_open.training.checkpoints.resuming import (
    apply_settings,
    fit_average,
    refuse_other_autoencoder,
    refuse_other_parts,
)
from stable_audio_open.training.ema import (
    EmaSchedule,
    OffloadedAverage,
    averaged_copy,
    update_average,
)
from stable_audio_open.training.inpainting import InpaintingMasks, sounding_frames
from stable_audio_open.training.optimisation import OptimizerSettings
from stable_audio_open.training.parallel.sharding import (
    filled,
    outline,
    shard_trained,
    shard_transformer,
)
from stable_audio_open.training.randomness import BatchRandomness, process_count
from stable_audio_open.training.tasks.bands import (
    BANDS,
    losses_by_band,
    mean_of_bands,
    validation_losses,
)
from stable_audio_open.training.tasks.learnt import LearntBatch, draw_latents, prepare_conditions
from stable_audio_open.training.tasks.validation import ValidationMeans


class DiffusionTraining(pl.LightningModule):
    """Predict the velocity of noised latents, conditioned on prompt and timing.

    The autoencoder is frozen. The number embedders are trained; the text encoder only where its
    conditioner says so. The average covers the transformer alone.

    Args:
        model: The whole system.
        optimisation: AdamW and schedule.
        draws: Train on fresh draws from the autoencoder's posterior, else on its means.
        timesteps: How timesteps are drawn, as `TimestepSampler` has it; the model's shift moves
            them.
        guidance_dropout: Share of items that are trained without cross-attention conditioning.
        ema: Average of the transformer's weights to keep, or None.
        offload_ema: Keep it in CPU memory.
        log_loss_by_timestep: Log the loss of each quarter of the timesteps apart.
        inpainting: Masks of a model with inpainting channels, or None.
        header: Written into every checkpoint under `stable_audio_open`, so that `load` reads it.
        seed: Seed of the draws, timesteps, noise and dropout.
    """

    def __init__(
        self,
        *,
        model: LatentDiffusion,
        optimisation: OptimizerSettings,
        draws: bool = False,
        timesteps: str = "sobol",
        guidance_dropout: float,
        ema: EmaSchedule | None,
        offload_ema: bool = False,
        log_loss_by_timestep: bool = False,
        inpainting: InpaintingMasks | None = None,
        header: dict[str, Any],
        seed: int,
    ) -> None:
        super().__init__()
        self.log_loss_by_timestep = log_loss_by_timestep
        self.model = model
        self.model.autoencoder.requires_grad_(False)
        kept, offloaded = ema is not None, ema is not None and offload_ema
        self.ema = averaged_copy(model.transformer) if kept and not offloaded else None
        self.offloaded_ema = (
            OffloadedAverage(model.transformer, prefix="ema.") if offloaded else None
        )
        self.optimisation = optimisation
        self.draws = draws
        self.distribution = timesteps
        self.guidance_dropout = guidance_dropout
        self.ema_schedule = ema
        self.inpainting = inpainting
        self.header = header
        self.seed = seed
        self.timesteps: TimestepSampler | None = None
        self._timesteps_drawn = 0
        self.validation_means = ValidationMeans()
        # In tuples, which hide them from Lightning.
        self._validated: tuple[LatentDiffusion, ...] = ()
        self._lent = ExitStack()
        self._outline: tuple[LatentDiffusion, ...] = ()

    def configure_model(self) -> None:
        """Split the trained networks over the processes, where the strategy wants it."""
        if self.device_mesh is None or self._outline:
            return
        self._outline = (outline(self._with_average()),)
        mesh = self.device_mesh["data_parallel"]
        shard_trained(self.model.conditioner, mesh)
        shard_transformer(self.model.transformer, mesh)
        if self.ema is not None:
            shard_transformer(self.ema, mesh)

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor | None:
        """Take one batch of latents `[batch, latent_channels, frames]`, prompts and seconds.

        Where draws are trained on, `batch["latents"]` are means, and `batch["std"]` the standard
        deviations that go with them.
        """
        learnt = self.learnt(batch, batch_idx)
        items = len(learnt.latents)
        errors = self.velocity_errors(learnt)
        loss = errors.mean()
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=items)
        if self.log_loss_by_timestep:
            by_band = losses_by_band(errors.detach().mean(dim=(1, 2)), learnt.t)
            for band, (mean, count) in by_band.items():
                self.log(f"train/loss/{band}", mean, batch_size=count)
        return loss

    def learnt(self, batch: dict[str, Any], batch_idx: int) -> LearntBatch:
        """Return what this step learns from, with the next timesteps."""
        random = self._random(batch, batch_idx, step=self.global_step)
        latents = self.latents(batch, random)
        prepared = prepare_conditions(self.model.conditioner, batch)
        sounding = None
        if self.inpainting is not None:
            rate = self.model.autoencoder.sample_rate / self.model.autoencoder.downsampling
            numbers = {name: batch[name] for name in self.model.conditioner.numbers}
            sounding = sounding_frames(numbers, len(latents), rate=rate)
        return LearntBatch(latents, prepared, self.times(latents), random, sounding)

    def times(self, latents: Float[Tensor, "batch latent_channels frames"]) -> Tensor:
        """Return the next timesteps, one for each item, of one sequence for all processes."""
        if self.timesteps is None:
            self.timesteps = TimestepSampler(seed=self.seed, distribution=self.distribution)
            self.timesteps.restore(self._timesteps_drawn)
        rank, processes = self.global_rank, process_count()
        drawn = self.timesteps.draw(processes * len(latents))[rank::processes]
        t = sent(drawn, latents.device)
        shift = self.model.timestep_shift
        return t if shift is None else shift.times(t, latents.shape[-1])

    def drawn(self) -> int:
        """Return how many timesteps were drawn so far."""
        return self.timesteps.state() if self.timesteps else self._timesteps_drawn

    def put_back(self, drawn: int) -> None:
        """Be as after a batch again, where an error ended what came then.

        Args:
            drawn: Timesteps that were drawn by then.
        """
        self._validated = ()
        self._lent.close()
        if self.timesteps is not None:
            self.timesteps.restore(drawn)

    def velocity_errors(self, learnt: LearntBatch) -> Float[Tensor, "batch latent_channels frames"]:
        """Return the squared errors of the velocities that the transformer predicts.

        Items are drawn that are trained without conditioning.
        """
        latents, prepared, t, random, _ = learnt
        noise = sent(random.normal(*latents.shape[1:]), latents.device, latents.dtype)
        dropped = random.uniform() < self.guidance_dropout

        # The dropout of a trainable text encoder draws from the global state.
        torch.manual_seed(random.seed)
        conditioning = self.model.conditioner(prepared)
        conditioning = drop_conditions(conditioning, sent(dropped, latents.device))
        conditioning = conditioning._replace(known=self.known(learnt))
        noised = noise_latents(latents, noise, t, self.model.objective)
        velocity = self.model.transformer(noised.x, t, conditioning)
        return F.mse_loss(velocity.float(), noised.velocity.float(), reduction="none")

    def known(self, learnt: LearntBatch) -> Tensor | None:
        """Return what models with inpainting channels are given, by masks that are drawn."""
        if self.inpainting is None:
            return None
        latents, random = learnt.latents, learnt.random
        lengths = learnt.sounding or [math.inf] * len(latents)
        kept = self.inpainting.draw(random.generators, lengths, latents.shape[-1])
        return inpainting_channels(latents, sent(kept, latents.device, latents.dtype))

    def on_validation_epoch_start(self) -> None:
        """Get the averaged model ready; split weights are gathered by all processes, once."""
        self._validated = (self._lent.enter_context(self.averaged()),)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Take the averaged transformer's loss, at one timestep of each item in every band.

        Draws, timesteps and noise are the same at every validation, so that its values can be
        compared.
        """

        # None of training's steps, and the same at every validation.
        def random_of(place: int) -> BatchRandomness:
            return self._random(batch, batch_idx, step=-1 - place)

        latents = self.latents(batch, random_of(BANDS))
        [model] = self._validated
        conditioning = model.conditioner(prepare_conditions(model.conditioner, batch))
        by_band = validation_losses(model, latents, conditioning, random_of)
        losses = {f"validation/loss/{band}": loss for band, loss in by_band.items()}
        losses["validation/loss"] = mean_of_bands(by_band)
        self.validation_means.add(losses, items=len(latents))

    def on_validation_epoch_end(self) -> None:
        """Log the means, and give the averaged model back."""
        self._validated = ()
        self._lent.close()
        means = self.validation_means.take()
        self.log("validation/loss", means.pop("validation/loss"), prog_bar=True)
        self.log_dict(means)

    def latents(self, batch: dict[str, Any], random: BatchRandomness) -> Tensor:
        """Return the latents that are learnt: a draw of each item's posterior, or the means."""
        latents: Tensor = draw_latents(batch, random) if self.draws else batch["latents"]
        return latents

    def _random(self, batch: dict[str, Any], batch_idx: int, *, step: int) -> BatchRandomness:
        return BatchRandomness(
            seed=self.seed,
            step=step,
            batch=batch_idx,
            items=len(batch["latents"]),
            rank=self.global_rank,
            processes=process_count(),
        )

    @contextmanager
    def averaged(self) -> Iterator[LatentDiffusion]:
        """Lend the system with the averaged transformer, sharing all weights.

        An offloaded average takes the place of the trained weights meanwhile. Where the weights
        are split over processes, it is a copy with whole ones, and all must call this together.
        """
        shared = self._with_average()
        if self.offloaded_ema is not None:
            with self.offloaded_ema.in_place_of(self.model.transformer):
                yield shared
        elif self._outline:
            yield filled(self._outline[0], shared)
        else:
            yield shared

    def _with_average(self) -> LatentDiffusion:
        return self.model.with_transformer(self.model.transformer if self.ema is None else self.ema)

    def compile_networks(self, *, backend: str = "inductor") -> None:
        """Compile the transformer in place, with a backend of `torch.compile`."""
        self.model.transformer.compile(backend=backend)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step, then update the average of the transformer's weights.

        A hook after the batch would come too late: the checkpoint of this step is written first.
        """
        super().optimizer_step(*args, **kwargs)
        self.update_average(self.global_step + 1)

    def update_average(self, update: int) -> None:
        """Move the average towards the weights; `update` counts from 1."""
        average = self.ema if self.offloaded_ema is None else self.offloaded_ema.module
        if average is not None and self.ema_schedule is not None:
            decay = self.ema_schedule.at(update)
            update_average(average, self.model.transformer, decay=decay)

    def configure_optimizers(self) -> Any:
        """Return AdamW and the schedule, stepped at every training step."""
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        optimizer, schedule = self.optimisation.configure(parameters)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Describe the model; a frozen text encoder is left out (it is a download)."""
        checkpoint["stable_audio_open"] = self.header
        checkpoint["timesteps_drawn"] = self.drawn()
        for prefix in self.left_out():
            for key in [k for k in checkpoint["state_dict"] if k.startswith(prefix)]:
                del checkpoint["state_dict"][key]
        if self.offloaded_ema is not None:
            self.offloaded_ema.save(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on in the sequence of timesteps; put back the weights that were left out.

        The average is fitted to what is wanted now.

        Raises:
            ValueError: Naming the field that has changed, where other parts were trained.
        """
        where, state = str(self.trainer.ckpt_path), checkpoint["state_dict"]
        average = self.ema if self.offloaded_ema is None else self.offloaded_ema.module
        names = () if average is None else average.state_dict()
        fit_average(state, online="model.transformer.", wanted=names)
        if self.offloaded_ema is not None:
            self.offloaded_ema.load(checkpoint)
        own, state = self.state_dict(), checkpoint["state_dict"]
        for prefix in self.left_out():
            state |= {k: v for k, v in own.items() if k.startswith(prefix)}
        self._timesteps_drawn = checkpoint["timesteps_drawn"]
        self.timesteps = None
        refuse_other_parts(own, state, where)
        refuse_other_autoencoder(own, state, "model.autoencoder.", where)

    def on_train_start(self) -> None:
        """Let the optimiser's settings take effect in a run that is resumed."""
        if self.trainer.ckpt_path is not None:
            apply_settings(self.trainer, self.optimisers())

    def optimisers(self) -> dict[str, OptimizerSettings]:
        """Return the settings of the optimisers in turn, by their place in the configuration."""
        return {"training.optimizer": self.optimisation}

    def left_out(self) -> list[str]:
        """Return prefixes of what checkpoints do without, since the run brings it itself."""
        texts: nn.ModuleDict = self.model.conditioner.texts
        return [
            f"model.conditioner.texts.{name}.encoder."
            for name, text in texts.items()
            if not text.trainable
        ]
