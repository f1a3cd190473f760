"""Adversarial post-training of a rectified flow for few steps (ARC; arXiv 2505.08175)."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.adversarial.latent_discriminator import LatentDiscriminator
from stable_audio_open.adversarial.relativistic import (
    contrastive_loss,
    discriminator_loss,
    student_loss,
)
from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.diffusion.flow_path import flow_endpoint
from stable_audio_open.diffusion.guidance import guide
from stable_audio_open.diffusion.objective import noise_latents
from stable_audio_open.evaluation.weights import module_hash
from stable_audio_open.nn.device import sent
from stable_audio_open.training.optimisation import OptimizerSettings
from stable_audio_open.training.post_training.prompt_pairs import join_conditionings, other_prompts
from stable_audio_open.training.post_training.settings import NoiseLevels, WarmUp
from stable_audio_open.training.tasks.diffusion import DiffusionTraining
from stable_audio_open.training.tasks.learnt import LearntBatch
from stable_audio_open.training.tasks.two_sides import DISCRIMINATOR, GENERATOR, TwoSides

TEACHER = "teacher."


class Judged(NamedTuple):
    """Latents of recordings and what the student made in their place, with the same noise."""

    real: Float[Tensor, "batch latent_channels frames"]
    generated: Float[Tensor, "batch latent_channels frames"]
    t: Float[Tensor, "batch"]
    """Times of the noise."""
    conditioning: Conditioning


class AdversarialPostTraining(TwoSides, DiffusionTraining):
    """Train a student and a discriminator of latents in turn, a batch each.

    The student predicts clean latents from noised ones in a single step; both they and the
    recording's are noised again, and the discriminator, which starts as the teacher's first blocks,
    tells them apart (relativistic loss), and recordings with their prompts from recordings with
    others' (contrastive loss). Before, the student may learn the ends of the teacher's flow.
    Autoencoder and conditioner are frozen.

    Args:
        discriminator: What scores latents.
        discriminator_optimisation: AdamW and schedule of the discriminator.
        teacher: The flow whose ends are learnt first, or None where `warm_up` has no steps; it is
            not in the checkpoints, but what its weights were is.
        warm_up: What is done before the discriminator takes part.
        noise_levels: Where the discriminator judges.
        contrastive: Weight of the contrastive loss.
        gradient_clip: Largest norm of each side's gradient, or None.
        others: Arguments of `DiffusionTraining`; `model` is the student, a copy of the teacher at
            first.
    """

    def __init__(
        self,
        *,
        discriminator: LatentDiscriminator,
        discriminator_optimisation: OptimizerSettings,
        teacher: DiffusionTransformer | None,
        warm_up: WarmUp,
        noise_levels: NoiseLevels,
        contrastive: float,
        gradient_clip: float | None = None,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.automatic_optimization = False
        self.model.conditioner.requires_grad_(False).eval()
        self.discriminator = discriminator
        self.discriminator_optimisation = discriminator_optimisation
        self.teacher = None if teacher is None else teacher.requires_grad_(False).eval()
        self.warm_up = warm_up
        self.noise_levels = noise_levels
        self.contrastive = contrastive
        self.gradient_clip = gradient_clip

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        """Take a step of the side whose turn it is; the student begins."""
        learnt = self.learnt(batch, batch_idx)
        step = self.global_step
        since = step - self.warm_up.steps
        if since < 0:
            name, side, loss_of = "warm_up", GENERATOR, self.warm_up_loss
        elif since % 2 == 0:
            name, side, loss_of = "adversarial", GENERATOR, self.student_loss
        else:
            name, side, loss_of = "discriminator", DISCRIMINATOR, self.discriminator_loss
        # The other side is frozen until after the backward pass, which may compute blocks again.
        with self.toggled_optimizer(self.optimizers()[side]):  # type: ignore[index]  # there are two
            loss = loss_of(learnt)
            self.log(f"train/loss/{name}", loss.detach(), prog_bar=True)
            self.log("train/loss", loss.detach())
            self.follow(side, loss)
        if side == GENERATOR:
            self.update_average(step + 1 if since < 0 else self.warm_up.steps + since // 2 + 1)

    def warm_up_loss(self, learnt: LearntBatch) -> Float[Tensor, ""]:
        """Return the squared distance of the student's velocity from that to the teacher's end.

        Both start at the batch's timesteps.
        """
        assert self.teacher is not None
        latents, t, random = learnt.latents, learnt.t, learnt.random
        noise = sent(random.normal(*latents.shape[1:]), latents.device, latents.dtype)
        conditioning = self._conditioning(learnt)
        x = noise_latents(latents, noise, t, self.model.objective).x
        with torch.no_grad():
            end = self._teachers_end(self.teacher, x, t, conditioning)
        velocity = self.model.transformer(x, t, conditioning)
        return F.mse_loss(velocity.to(x), (x - end) / t[:, None, None])

    def student_loss(self, learnt: LearntBatch) -> Float[Tensor, ""]:
        """Return the student's loss, whose gradient the discriminator passes on."""
        judged = self._judged(learnt)
        with torch.no_grad():
            real = self.discriminator(judged.real, judged.t, judged.conditioning)
        generated = self.discriminator(judged.generated, judged.t, judged.conditioning)
        return student_loss(real, generated)

    def discriminator_loss(self, learnt: LearntBatch) -> Float[Tensor, ""]:
        """Return the discriminator's loss; the student runs without gradients.

        Pairs of prompts are drawn.
        """
        with torch.no_grad():
            judged = self._judged(learnt)
        own, counted = judged.conditioning, None
        x, conditionings = [judged.real, judged.generated], [own, own]
        if self.contrastive and len(learnt.latents) > 1:
            others, counted = other_prompts(learnt.prepared, learnt.random)
            with torch.no_grad():
                wrong = self.model.conditioner(others)._replace(known=own.known)
            x.append(judged.real)
            conditionings.append(wrong)
        scores = self.discriminator(
            torch.cat(x), judged.t.repeat(len(x)), join_conditionings(conditionings)
        ).chunk(len(x))
        loss = discriminator_loss(scores[0], scores[1])
        if counted is None:
            return loss
        return loss + self.contrastive * contrastive_loss(scores[0], scores[2], counted)

    def _judged(self, learnt: LearntBatch) -> Judged:
        latents, t, random = learnt.latents, learnt.t, learnt.random
        device, dtype = latents.device, latents.dtype
        noise, fresh = (sent(random.normal(*latents.shape[1:]), device, dtype) for _ in range(2))
        level = sent(self.noise_levels.draw(random), device, dtype)
        conditioning = self._conditioning(learnt)
        x = noise_latents(latents, noise, t, self.model.objective).x
        velocity = self.model.transformer(x, t, conditioning)
        clean = x - t[:, None, None] * velocity.to(x)
        real, generated = (
            noise_latents(x0, fresh, level, self.model.objective).x for x0 in (latents, clean)
        )
        return Judged(real=real, generated=generated, t=level, conditioning=conditioning)

    def _conditioning(self, learnt: LearntBatch) -> Conditioning:
        conditioning: Conditioning = self.model.conditioner(learnt.prepared)
        return conditioning._replace(known=self.known(learnt))

    def _teachers_end(
        self, teacher: DiffusionTransformer, x: Tensor, t: Tensor, conditioning: Conditioning
    ) -> Tensor:
        scale = self.warm_up.guidance_scale
        null = conditioning._replace(cross=torch.zeros_like(conditioning.cross))
        both = join_conditionings((conditioning, null))

        def velocity(x: Tensor, t: Tensor) -> Tensor:
            if scale == 1:
                alone: Tensor = teacher(x, t, conditioning)
                return alone.to(x)
            conditional, unconditional = teacher(x.repeat(2, 1, 1), t.repeat(2), both).chunk(2)
            return guide(conditional.to(x), unconditional.to(x), scale=scale)

        return flow_endpoint(velocity, x, t, steps=self.warm_up.teacher_steps)

    def compile_networks(self, *, backend: str = "inductor") -> None:
        """Compile all networks in place, with a backend of `torch.compile`."""
        super().compile_networks(backend=backend)
        self.discriminator.compile(backend=backend)
        if self.teacher is not None:
            self.teacher.compile(backend=backend)

    def left_out(self) -> list[str]:
        """Return prefixes of what checkpoints do without, the teacher's among them."""
        return [*super().left_out(), TEACHER]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave the teacher out, but for what tells it from another."""
        super().on_save_checkpoint(checkpoint)
        if self.teacher is not None:
            checkpoint["teacher"] = module_hash(self.teacher)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the same teacher.

        Raises:
            ValueError: When it is another, or something else has changed.
        """
        super().on_load_checkpoint(checkpoint)
        if self.teacher is None or checkpoint["global_step"] >= self.warm_up.steps:
            return
        if checkpoint.get("teacher") != module_hash(self.teacher):
            raise ValueError(
                f"{self.trainer.ckpt_path}: the teacher was another than training.initialize names "
                "now, which has other weights; change it back, or start another run "
                "(training.trainer.name)"
            )
