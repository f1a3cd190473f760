"""Training of the autoencoder against discriminators (section 4.1)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stable_audio_open.adversarial.discriminator import MultiResolutionDiscriminator
from stable_audio_open.adversarial.losses import (
    adversarial_loss,
    feature_matching_loss,
    hinge_loss,
)
from stable_audio_open.training.optimisation import OptimizerSettings
from stable_audio_open.training.tasks.autoencoder import AutoencoderTraining, Reconstruction
from stable_audio_open.training.tasks.two_sides import DISCRIMINATOR, GENERATOR, TwoSides


@dataclass(frozen=True, kw_only=True)
class AdversarialWeights:
    """Weights of the autoencoder's terms."""

    adversarial: float
    feature_matching: float


class AdversarialTraining(TwoSides, AutoencoderTraining):
    """Train autoencoder and discriminators in turn, a batch each.

    Even steps (from 0) are the autoencoder's, odd ones the discriminators'; before
    `first_step` all are the autoencoder's, without the adversarial terms. Each side computes the
    gradients of its own weights alone.

    Args:
        discriminator: Judges the decoded audio.
        adversarial_weights: Weights of its terms in the autoencoder's loss.
        discriminator_optimisation: AdamW and schedule of the discriminators.
        first_step: The step from which on the discriminators take part.
        gradient_clip: Largest norm of each side's gradient, or None.
        others: Arguments of `AutoencoderTraining`.
    """

    def __init__(
        self,
        *,
        discriminator: MultiResolutionDiscriminator,
        adversarial_weights: AdversarialWeights,
        discriminator_optimisation: OptimizerSettings,
        first_step: int = 0,
        gradient_clip: float | None = None,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.automatic_optimization = False
        self.discriminator = discriminator
        self.adversarial_weights = adversarial_weights
        self.discriminator_optimisation = discriminator_optimisation
        self.first_step = first_step
        self.gradient_clip = gradient_clip

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Take a step of the side whose turn it is."""
        step, audio = self.global_step, batch["audio"]
        if step < self.first_step:
            self._train_autoencoder(audio, batch_idx, against=False, update=step + 1)
        elif (step - self.first_step) % 2 == 0:
            update = self.first_step + (step - self.first_step) // 2 + 1
            self._train_autoencoder(audio, batch_idx, against=True, update=update)
        else:
            self._train_discriminator(audio, batch_idx)

    def autoencoder_loss(
        self, audio: Tensor, batch_idx: int, *, against: bool = True
    ) -> Reconstruction:
        """Return the autoencoder's loss; gradients reach none of the discriminators' weights.

        Args:
            audio: Crops `[batch, channels, time]`.
            batch_idx: Number of the batch, for the posterior's noise.
            against: Add the terms of the discriminators.
        """
        reconstruction = self.reconstruct(audio, batch_idx)
        if not against:
            return reconstruction
        with torch.no_grad():
            real = self.discriminator(audio)
        self.discriminator.requires_grad_(False)
        decoded = self.discriminator(reconstruction.decoded)
        self.discriminator.requires_grad_(True)
        adversarial, matching = adversarial_loss(decoded), feature_matching_loss(real, decoded)
        weights = self.adversarial_weights
        return reconstruction._replace(
            loss=reconstruction.loss
            + weights.adversarial * adversarial
            + weights.feature_matching * matching,
            logged=reconstruction.logged
            | {
                "train/loss/adversarial": adversarial.detach(),
                "train/loss/feature_matching": matching.detach(),
            },
        )

    def discriminator_loss(self, audio: Tensor, batch_idx: int) -> Tensor:
        """Return the discriminators' loss; the autoencoder runs without gradients."""
        decoded = self.decode_without_gradient(audio, batch_idx)
        return hinge_loss(self.discriminator(audio), self.discriminator(decoded))

    def compile_networks(self, *, backend: str = "inductor") -> None:
        """Compile autoencoder and discriminators in place, with a backend of `torch.compile`."""
        super().compile_networks(backend=backend)
        self.discriminator.compile(backend=backend)

    def _train_autoencoder(
        self, audio: Tensor, batch_idx: int, *, against: bool, update: int
    ) -> None:
        reconstruction = self.autoencoder_loss(audio, batch_idx, against=against)
        loss = reconstruction.loss
        self.log_dict(reconstruction.logged, batch_size=len(audio))
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(audio))
        self.follow(GENERATOR, loss)
        self.update_average(update)

    def _train_discriminator(self, audio: Tensor, batch_idx: int) -> None:
        loss = self.discriminator_loss(audio, batch_idx)
        self.log("train/loss/discriminator", loss.detach(), prog_bar=True, batch_size=len(audio))
        self.follow(DISCRIMINATOR, loss)
