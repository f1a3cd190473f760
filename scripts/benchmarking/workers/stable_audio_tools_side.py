"""The side of the authors' package, by its public calls alone."""

import importlib
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from benchmarking.workers.side import (
    GUIDANCE_SCALE,
    PROMPT,
    SIGMA_MAX,
    SIGMA_MIN,
    TIME,
    Call,
    Job,
    trainable,
    training_step,
)


class StableAudioToolsSide:
    """What `create_model_from_config` returns; it finds its text encoder in the working folder."""

    packages = ("torch", "stable-audio-tools", "transformers")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model: Any = None
        self._package = importlib.import_module("stable_audio_tools.models.factory")
        self._generation = importlib.import_module("stable_audio_tools.inference.generation")

    def load(self) -> None:
        """Load from the published layout, as the published model's card says."""
        self.drop()
        model = self._package.create_model_from_config(self.job.config)
        path = self.job.folder / "stable_audio_tools" / "model.safetensors"
        model.load_state_dict(load_file(path))
        self.model = model.to(self.job.device, self.job.dtype).eval().requires_grad_(False)

    def drop(self) -> None:
        """Let go of the model."""
        self.model = None

    def case(
        self, name: str, inputs: dict[str, Tensor], *, mixed: torch.dtype | None
    ) -> Call | None:
        """Return a call of the case."""
        model, dtype = self.model, self.job.dtype
        latents, audio = inputs["latents"].to(dtype), inputs["audio"].to(dtype)
        match name:
            case "text":
                return torch.no_grad()(self._text)
            case "step":
                return self._step(inputs)
            case "clip":
                return self._clip
            case "decode":
                return torch.no_grad()(lambda: model.pretransform.decode(latents))
            case "encode":
                # Means, without a draw.
                whole = model.pretransform.model
                return torch.no_grad()(
                    lambda: whole.encode(audio, skip_bottleneck=True).chunk(2, dim=1)[0]
                )
            case "train-transformer":
                return self._train_transformer(inputs, mixed)
            case "train-autoencoder":
                return self._train_autoencoder(inputs, mixed)
        return None

    def _conditioning(self) -> list[dict[str, Any]]:
        seconds = {"seconds_start": 0, "seconds_total": self.job.seconds}
        return [{"prompt": PROMPT, **seconds}]

    def _text(self) -> Tensor:
        tensors = self.model.conditioner(self._conditioning(), self.job.device)
        cross: Tensor = self.model.get_conditioning_inputs(tensors)["cross_attn_cond"]
        return cross

    def _step(self, inputs: dict[str, Tensor]) -> Call:
        x, cross, global_ = (
            inputs[name].to(self.job.dtype) for name in ("latents", "cross", "global")
        )
        t = torch.full((1,), TIME, device=x.device, dtype=self.job.dtype)

        @torch.no_grad()
        def call() -> Tensor:
            guided: Tensor = self.model.model(
                x, t, cross_attn_cond=cross, global_cond=global_, cfg_scale=GUIDANCE_SCALE
            )
            return guided

        return call

    def _clip(self) -> Tensor:
        waveform: Tensor = self._generation.generate_diffusion_cond(
            self.model,
            steps=self.job.steps,
            cfg_scale=GUIDANCE_SCALE,
            conditioning=self._conditioning(),
            sample_size=self.job.config["sample_size"],
            sigma_min=SIGMA_MIN,
            sigma_max=SIGMA_MAX,
            sampler_type="dpmpp-3m-sde",
            seed=self.job.seed,
            device=str(self.job.device),
        )
        return waveform

    def _train_transformer(self, inputs: dict[str, Tensor], mixed: torch.dtype | None) -> Call:
        transformer = trainable(self.model.model)
        x, target = inputs["latents"], inputs["target"]
        t = torch.full((len(x),), TIME, device=x.device)

        def loss() -> Tensor:
            velocity = transformer(
                x, t, cross_attn_cond=inputs["cross"], global_cond=inputs["global"]
            )
            return F.mse_loss(velocity, target)

        return training_step(loss, transformer, device=self.job.device, mixed=mixed)

    def _train_autoencoder(self, inputs: dict[str, Tensor], mixed: torch.dtype | None) -> Call:
        autoencoder: Any = trainable(self.model.pretransform.model)
        audio = inputs["audio"]

        def loss() -> Tensor:
            means = autoencoder.encoder(audio).chunk(2, dim=1)[0]
            return F.mse_loss(autoencoder.decoder(means), audio)

        return training_step(loss, autoencoder, device=self.job.device, mixed=mixed)
