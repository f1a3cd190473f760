"""The side of diffusers: its pipeline, and the parts of it."""

import importlib
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarking.workers.side import (
    GUIDANCE_SCALE,
    PROMPT,
    TIME,
    Call,
    Job,
    trainable,
    training_step,
)


class DiffusersSide:
    """`StableAudioPipeline`, called as at every step of its own."""

    packages = ("torch", "diffusers", "transformers")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.pipeline: Any = None
        self._package = importlib.import_module("diffusers")
        self._package.logging.set_verbosity_error()  # else it remarks on every cast
        self._package.logging.disable_progress_bar()

    def load(self) -> None:
        """Load the pipeline's folder."""
        self.drop()
        pipeline = self._package.StableAudioPipeline.from_pretrained(
            str(self.job.folder / "diffusers"), torch_dtype=self.job.dtype
        )
        self.pipeline = pipeline.to(self.job.device)
        self.pipeline.set_progress_bar_config(disable=True)

    def drop(self) -> None:
        """Let go of the model."""
        self.pipeline = None

    def case(
        self, name: str, inputs: dict[str, Tensor], *, mixed: torch.dtype | None
    ) -> Call | None:
        """Return a call of the case."""
        vae, dtype = self.pipeline.vae, self.job.dtype
        latents, audio = inputs["latents"].to(dtype), inputs["audio"].to(dtype)
        match name:
            case "text":
                return torch.no_grad()(self._text)
            case "step":
                return self._step(inputs)
            case "clip":
                return self._clip
            case "decode":
                return torch.no_grad()(lambda: vae.decode(latents).sample)
            case "encode":
                return torch.no_grad()(lambda: vae.encode(audio).latent_dist.mode())
            case "train-transformer":
                return self._train_transformer(inputs, mixed)
            case "train-autoencoder":
                return self._train_autoencoder(inputs, mixed)
        return None

    def _text(self) -> Tensor:
        words = self.pipeline.encode_prompt(PROMPT, self.job.device, False)
        start, end = self.pipeline.encode_duration(
            0.0, self.job.seconds, self.job.device, False, batch_size=1
        )
        return torch.cat([words, start, end], dim=1)

    def _rotary(self, frames: int) -> tuple[Tensor, Tensor]:
        """Return the table as the pipeline makes it: on the CPU, whatever the device."""
        embeddings: Any = importlib.import_module("diffusers.models.embeddings")
        width = self.pipeline.transformer.config.attention_head_dim
        cos, sin = embeddings.get_1d_rotary_pos_embed(
            width // 2, frames + 1, use_real=True, repeat_interleave_real=False
        )
        return cos, sin

    def _step(self, inputs: dict[str, Tensor]) -> Call:
        x, cross, global_ = (
            inputs[name].to(self.job.dtype) for name in ("latents", "cross", "global")
        )
        context = torch.cat([torch.zeros_like(cross), cross])
        both = torch.cat([global_, global_])[:, None]
        t, rotary = torch.tensor([TIME], device=x.device), self._rotary(x.shape[-1])
        transformer = self.pipeline.transformer

        @torch.no_grad()
        def call() -> Tensor:
            predicted = transformer(
                torch.cat([x, x]),
                t,
                encoder_hidden_states=context,
                global_hidden_states=both,
                rotary_embedding=rotary,
                return_dict=False,
            )[0]
            null, conditional = predicted.chunk(2)
            guided: Tensor = null + GUIDANCE_SCALE * (conditional - null)
            return guided

        return call

    def _clip(self) -> Tensor:
        waveform: Tensor = self.pipeline(
            PROMPT,
            audio_end_in_s=self.job.seconds,
            num_inference_steps=self.job.steps,
            guidance_scale=GUIDANCE_SCALE,
            generator=torch.Generator(self.job.device).manual_seed(self.job.seed),
        ).audios
        return waveform

    def _train_transformer(self, inputs: dict[str, Tensor], mixed: torch.dtype | None) -> Call:
        transformer: Any = trainable(self.pipeline.transformer)
        transformer.enable_gradient_checkpointing()
        x, target, global_ = inputs["latents"], inputs["target"], inputs["global"][:, None]
        t, rotary = torch.tensor([TIME], device=x.device), self._rotary(x.shape[-1])

        def loss() -> Tensor:
            velocity = transformer(
                x,
                t,
                encoder_hidden_states=inputs["cross"],
                global_hidden_states=global_,
                rotary_embedding=rotary,
                return_dict=False,
            )[0]
            return F.mse_loss(velocity, target)

        return training_step(loss, transformer, device=self.job.device, mixed=mixed)

    def _train_autoencoder(self, inputs: dict[str, Tensor], mixed: torch.dtype | None) -> Call:
        vae: Any = trainable(self.pipeline.vae)
        audio = inputs["audio"]

        def loss() -> Tensor:
            return F.mse_loss(vae.decode(vae.encode(audio).latent_dist.mode()).sample, audio)

        return training_step(loss, vae, device=self.job.device, mixed=mixed)
