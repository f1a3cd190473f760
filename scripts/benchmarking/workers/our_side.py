"""This package's side."""

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
from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.conditioned import ConditionedTransformer
from stable_audio_open.diffusion.guidance import GuidedVelocity
from stable_audio_open.pretrained import StableAudio


class OurSide:
    """What `load` returns, called as `generate` does."""

    packages = ("torch", "stable-audio-open", "transformers")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.model: StableAudio

    def load(self) -> None:
        """Load from the published layout."""
        self.drop()
        self.model = StableAudio.from_pretrained(
            self.job.folder / "stable_audio_tools", device=self.job.device, dtype=self.job.dtype
        )
        # PyTorch's counter of operations does not take inference mode with weights to train.
        self.model.requires_grad_(False)

    def drop(self) -> None:
        """Let go of the model."""
        self.__dict__.pop("model", None)

    def case(
        self, name: str, inputs: dict[str, Tensor], *, mixed: torch.dtype | None
    ) -> Call | None:
        """Return a call of the case."""
        match name:
            case "text":
                return self._text()
            case "step":
                return self._step(inputs)
            case "clip":
                return self._clip
            case "decode":
                latents = inputs["latents"].to(self.job.dtype)
                return torch.inference_mode()(lambda: self.model.autoencoder.decode(latents))
            case "encode":
                audio = inputs["audio"].to(self.job.dtype)
                return torch.inference_mode()(lambda: self.model.autoencoder.encode(audio))
            case "train-transformer":
                return self._train_transformer(inputs, mixed)
            case "train-autoencoder":
                return self._train_autoencoder(inputs, mixed)
        return None

    def _text(self) -> Call:
        conditioner = self.model.conditioner
        seconds = {"seconds_start": 0.0, "seconds_total": self.job.seconds}

        @torch.inference_mode()
        def call() -> Tensor:
            cross: Tensor = conditioner(conditioner.prepare([{"prompt": PROMPT, **seconds}])).cross
            return cross

        return call

    def _step(self, inputs: dict[str, Tensor]) -> Call:
        """What no step changes was done before the first one."""
        dtype = self.job.dtype
        with torch.inference_mode():
            bound = ConditionedTransformer(
                self.model.transformer,
                Conditioning(cross=inputs["cross"].to(dtype), global_=inputs["global"].to(dtype)),
                negative=None,
                times=[TIME],
                frames=inputs["latents"].shape[-1],
            )
        guided = GuidedVelocity(
            pair=bound.pair, conditional=bound.conditional, scale=GUIDANCE_SCALE
        )
        return torch.inference_mode()(lambda: guided(inputs["latents"], TIME))

    def _clip(self) -> Tensor:
        audio = self.model.generate(
            PROMPT, steps=self.job.steps, seed=self.job.seed, progress=False
        )
        return audio.samples

    def _train_transformer(self, inputs: dict[str, Tensor], mixed: torch.dtype | None) -> Call:
        transformer = trainable(self.model.transformer)
        assert transformer is self.model.transformer
        self.model.transformer.activation_checkpointing = "full"
        conditioning = Conditioning(cross=inputs["cross"], global_=inputs["global"])
        x, target = inputs["latents"], inputs["target"]
        t = torch.full((len(x),), TIME, device=x.device)

        def loss() -> Tensor:
            return F.mse_loss(self.model.transformer(x, t, conditioning), target)

        return training_step(loss, transformer, device=self.job.device, mixed=mixed, fused=True)

    def _train_autoencoder(self, inputs: dict[str, Tensor], mixed: torch.dtype | None) -> Call:
        autoencoder = trainable(self.model.autoencoder)
        audio = inputs["audio"]

        def loss() -> Tensor:
            means = self.model.autoencoder.posterior(audio).mean
            return F.mse_loss(self.model.autoencoder.decode(means, chunked=False), audio)

        return training_step(loss, autoencoder, device=self.job.device, mixed=mixed, fused=True)
