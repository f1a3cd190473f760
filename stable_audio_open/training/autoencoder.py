"""Training of the autoencoder: reconstruction and KL (section 4.1)."""

from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.losses.reconstruction import StereoSpectralLoss
from stable_audio_open.training.ema import EmaSchedule, averaged_copy, update_average
from stable_audio_open.training.optimisation import Optimisation
from stable_audio_open.training.randomness import batch_generator


@dataclass(frozen=True, kw_only=True)
class AutoencoderLossWeights:
    """Weights of the terms of the loss."""

    mid_side: float
    left_right: float
    kl: float


class AutoencoderTraining(pl.LightningModule):
    """Minimise spectral distance and KL on random crops.

    Args:
        model: The autoencoder.
        loss: Spectral distances.
        weights: Weights of the terms.
        optimisation: AdamW and schedule.
        ema: Average of the weights to keep, or None.
        header: Written into every checkpoint under `stable_audio_open`, so that `load` reads it.
        seed: Of the posterior's noise.
    """

    def __init__(
        self,
        *,
        model: AudioAutoencoder,
        loss: StereoSpectralLoss,
        weights: AutoencoderLossWeights,
        optimisation: Optimisation,
        ema: EmaSchedule | None,
        header: dict[str, Any],
        seed: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.ema = averaged_copy(model) if ema is not None else None
        self.loss = loss
        self.weights = weights
        self.optimisation = optimisation
        self.ema_schedule = ema
        self.header = header
        self.seed = seed

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> Tensor:
        """Reconstruct a batch of crops; `batch["audio"]` is `[batch, channels, time]`."""
        audio = batch["audio"]
        posterior = self.model.posterior(audio)
        generator = batch_generator(
            seed=self.seed, rank=self.global_rank, step=self.global_step, batch=batch_idx
        )
        latents = posterior.sample(generator)
        decoded: Tensor = self.model.decoder(latents)
        terms = self.loss(decoded, audio)
        mid_side = (terms.mid + terms.side) / 2
        left_right = terms.left + terms.right
        kl = posterior.kl()
        weights = self.weights
        total: Tensor = (
            weights.mid_side * mid_side + weights.left_right * left_right + weights.kl * kl
        )
        self.log_dict(
            {
                "train/loss": total.detach(),
                "train/loss/mid_side": mid_side.detach(),
                "train/loss/left_right": left_right.detach(),
                "train/loss/kl": kl.detach(),
                "train/latent_std": latents.detach().std(),
            },
            prog_bar=True,
            batch_size=len(audio),
        )
        return total

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Take a step, then update the average of the weights.

        A hook after the batch would come too late: the checkpoint of this step is written first.
        """
        super().optimizer_step(*args, **kwargs)
        if self.ema is not None and self.ema_schedule is not None:
            decay = self.ema_schedule.at(self.global_step + 1)
            update_average(self.ema, self.model, decay=decay)

    def configure_optimizers(self) -> Any:
        """Return AdamW and the schedule, stepped at every training step."""
        optimizer, schedule = self.optimisation.configure(self.model.parameters())
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Describe the model in the checkpoint."""
        checkpoint["stable_audio_open"] = self.header


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
