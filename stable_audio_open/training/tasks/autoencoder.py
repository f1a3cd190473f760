"""Training of the autoencoder: reconstruction and KL (section 4.1)."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytorch_lightning as pl
import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.losses.stereo_spectral import StereoSpectralLoss
from stable_audio_open.nn.device import sent
from stable_audio_open.training.checkpoints.resuming import (
    apply_settings,
    fit_average,
    refuse_other_parts,
    refuse_other_trained,
)
from stable_audio_open.training.ema import (
    EmaSchedule,
    OffloadedAverage,
    averaged_copy,
    update_average,
)
from stable_audio_open.training.levels import level_lost, share_too_quiet, warn_too_quiet
from stable_audio_open.training.optimisation import OptimizerSettings
from stable_audio_open.training.randomness import BatchRandomness, process_count
from stable_audio_open.training.tasks.validation import ValidationMeans


@dataclass(frozen=True, kw_only=True)
class AutoencoderLossWeights:
    """Weights of the terms of the loss."""

    mid_side: float
    left_right: float
    mel: float
    waveform: float
    kl: float


class Reconstruction(NamedTuple):
    """A decoded batch, its loss and what is logged of it."""

    decoded: Float[Tensor, "batch channels time"]
    loss: Float[Tensor, ""]
    logged: dict[str, Tensor]
    """Terms of the loss, and what else is logged, by name."""


class AutoencoderTraining(pl.LightningModule):
    """Minimise spectral distance and KL on random crops.

    Args:
        model: The autoencoder; where its encoder is frozen (`freeze_encoder`), the decoder alone
            is trained, on latents that no gradient leaves.
        loss: Spectral distances.
        weights: Weights of the terms.
        optimisation: AdamW and schedule.
        ema: Average of the weights to keep, or None.
        offload_ema: Keep it in CPU memory.
        header: Written into every checkpoint under `stable_audio_open`, so that `load` reads it.
        seed: Seed of the posterior's noise.
    """

    def __init__(
        self,
        *,
        model: AudioAutoencoder,
        loss: StereoSpectralLoss,
        weights: AutoencoderLossWeights,
        optimisation: OptimizerSettings,
        ema: EmaSchedule | None,
        offload_ema: bool = False,
        header: dict[str, Any],
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        kept, offloaded = ema is not None, ema is not None and offload_ema
        self.ema = averaged_copy(model) if kept and not offloaded else None
        self.offloaded_ema = OffloadedAverage(model, prefix="ema.") if offloaded else None
        self.loss = loss
        self.weights = weights
        self.optimisation = optimisation
        self.ema_schedule = ema
        self.header = header
        self.seed = seed
        self.validation_means = ValidationMeans()
        # In a tuple, which hides it from Lightning.
        self._validated: tuple[AudioAutoencoder, ...] = ()
        self._lent = ExitStack()

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor | None:
        """Reconstruct a batch of crops; `batch["audio"]` is `[batch, channels, time]`."""
        reconstruction = self.reconstruct(batch["audio"], batch_idx)
        self.log_dict(reconstruction.logged, batch_size=len(batch["audio"]))
        self.log_dict(
            {"train/loss": reconstruction.loss.detach()},
            prog_bar=True,
            batch_size=len(batch["audio"]),
        )
        return reconstruction.loss

    def reconstruct(self, audio: Tensor, batch_idx: int) -> Reconstruction:
        """Encode, draw from the posterior, decode, and compare; nothing is logged yet."""
        latents, kl = self._latents(audio, batch_idx)
        decoded: Tensor = self.model.decoder(latents)
        terms = self._terms(decoded, audio, kl)
        logged = {f"train/loss/{name}": term.detach() for name, term in terms.items()}
        logged["train/latent_std"] = latents.detach().std()
        logged["train/level_lost"] = level_lost(decoded.detach(), audio).mean()
        return Reconstruction(decoded=decoded, loss=self._weighted(terms), logged=logged)

    @contextmanager
    def averaged(self) -> Iterator[AudioAutoencoder]:
        """Lend the averaged autoencoder, or the trained one where no average is kept.

        An offloaded average takes the place of the trained weights meanwhile.
        """
        if self.offloaded_ema is not None:
            with self.offloaded_ema.in_place_of(self.model):
                yield self.model
        else:
            yield self.model if self.ema is None else self.ema

    def on_validation_epoch_start(self) -> None:
        """Get the averaged model ready."""
        self._validated = (self._lent.enter_context(self.averaged()),)

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Take the averaged model's loss; it decodes the means of the latents, without noise."""
        del batch_idx
        audio: Tensor = batch["audio"]
        [model] = self._validated
        posterior = model.posterior(audio)
        decoded = model.decoder(posterior.mean)
        terms = self._terms(decoded, audio, posterior.kl())
        found = {f"validation/loss/{name}": term for name, term in terms.items()}
        found["validation/loss"] = self._weighted(terms)
        lost = level_lost(decoded, audio)
        found["validation/level_lost"] = lost.mean()
        found["validation/too_quiet"] = share_too_quiet(lost)
        self.validation_means.add(found, items=len(audio))

    def on_validation_epoch_end(self) -> None:
        """Log the means, and give the averaged model back."""
        self._validated = ()
        self._lent.close()
        means = self.validation_means.take()
        self.log("validation/loss", means.pop("validation/loss"), prog_bar=True)
        self.log_dict(means)
        quiet = float(means["validation/too_quiet"])
        if quiet > 0 and self.global_rank == 0:
            where = f"validation at step {self.global_step}"
            warn_too_quiet(where, f"{quiet:.0%} of the reconstructions")

    def drawn(self) -> int:
        """Return 0: noise follows from the step, and there is no sequence to go on in."""
        return 0

    def put_back(self, drawn: int) -> None:
        """Be as after a batch again, where an error ended what came then.

        Args:
            drawn: What `drawn` was by then.
        """
        del drawn
        self._validated = ()
        self._lent.close()

    def _terms(self, decoded: Tensor, audio: Tensor, kl: Tensor) -> dict[str, Tensor]:
        """Return the terms of the loss by the names of their weights."""
        found = self.loss(decoded, audio)
        return {
            "mid_side": (found.mid + found.side) / 2,
            "left_right": found.left + found.right,
            "mel": found.mel,
            "waveform": found.waveform,
            "kl": kl,
        }

    def _weighted(self, terms: Mapping[str, Tensor]) -> Tensor:
        weights = self.weights
        return (
            weights.mid_side * terms["mid_side"]
            + weights.left_right * terms["left_right"]
            + weights.mel * terms["mel"]
            + weights.waveform * terms["waveform"]
            + weights.kl * terms["kl"]
        )

    def decode_without_gradient(self, audio: Tensor, batch_idx: int) -> Tensor:
        """Encode, draw from the posterior and decode, for what learns from the result alone."""
        with torch.no_grad():
            latents, _ = self._latents(audio, batch_idx)
            decoded: Tensor = self.model.decoder(latents)
        return decoded

    def _latents(self, audio: Tensor, batch_idx: int) -> tuple[Tensor, Tensor]:
        """Return a draw from the posterior, and its divergence (0 where it cannot change)."""
        frozen = encoder_is_frozen(self.model)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            posterior = self.model.posterior(audio)
            random = BatchRandomness(
                seed=self.seed,
                step=self.global_step,
                batch=batch_idx,
                items=len(audio),
                rank=self.global_rank,
                processes=process_count(),
            )
            mean = posterior.mean
            noise = random.normal(*mean.shape[1:])
            latents = posterior.at(sent(noise, mean.device, mean.dtype))
            return latents, latents.new_zeros(()) if frozen else posterior.kl()

    def compile_networks(self, *, backend: str = "inductor") -> None:
        """Compile encoder and decoder in place, with a backend of `torch.compile`."""
        self.model.encoder.compile(backend=backend)
        self.model.decoder.compile(backend=backend)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step, then update the average of the weights.

        A hook after the batch would come too late: the checkpoint of this step is written first.
        """
        super().optimizer_step(*args, **kwargs)
        self.update_average(self.global_step + 1)

    def update_average(self, update: int) -> None:
        """Move the average towards the weights; `update` counts from 1."""
        average = self.ema if self.offloaded_ema is None else self.offloaded_ema.module
        if average is not None and self.ema_schedule is not None:
            update_average(average, self.model, decay=self.ema_schedule.at(update))

    def configure_optimizers(self) -> Any:
        """Return AdamW and the schedule, stepped at every training step."""
        optimizer, schedule = self.optimisation.configure(
            p for p in self.model.parameters() if p.requires_grad
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Describe the model in the checkpoint."""
        checkpoint["stable_audio_open"] = self.header
        if self.offloaded_ema is not None:
            self.offloaded_ema.save(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Fit the average, and refuse what was trained in other parts.

        Raises:
            ValueError: Naming the field that has changed.
        """
        where = str(self.trainer.ckpt_path)
        average = self.ema if self.offloaded_ema is None else self.offloaded_ema.module
        names = () if average is None else average.state_dict()
        fit_average(checkpoint["state_dict"], online="model.", wanted=names)
        if self.offloaded_ema is not None:
            self.offloaded_ema.load(checkpoint)
        refuse_other_parts(self.state_dict(), checkpoint["state_dict"], where)
        trained = sum(p.requires_grad for p in self.model.parameters())
        refuse_other_trained(trained, checkpoint, where)

    def optimisers(self) -> dict[str, OptimizerSettings]:
        """Return the settings of the optimisers in turn, by their place in the configuration."""
        return {"training.optimizer": self.optimisation}

    def on_train_start(self) -> None:
        """Let the settings of the optimisers take effect in a run that is resumed."""
        if self.trainer.ckpt_path is not None:
            apply_settings(self.trainer, self.optimisers())


def freeze_encoder(model: AudioAutoencoder) -> None:
    """Keep the encoder as it is, to train the decoder on (the second phase of section 4.1)."""
    model.encoder.requires_grad_(False)


def encoder_is_frozen(model: AudioAutoencoder) -> bool:
    """Say whether no weight of the encoder is trained."""
    return not any(p.requires_grad for p in model.encoder.parameters())


def narrow_posterior(model: AudioAutoencoder, *, scale_bias: float) -> None:
    """Set the encoder's scale outputs so that training starts with a narrow posterior.

    With the usual start (standard deviation about 1) the noise drowns the latents of a small
    model and the loss stalls.
    """
    output = model.encoder.get_submodule("output")
    bias = output.bias
    assert isinstance(bias, Tensor)
    with torch.no_grad():
        bias[model.latent_channels :] = scale_bias
