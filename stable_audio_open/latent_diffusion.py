"""The three parts of the system, held together (section 2)."""

import torch
from torch import nn

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.conditioning.conditioner import Conditioner
from stable_audio_open.conditioning.text import TextConditioner
from stable_audio_open.diffusion.adapters import AdapterSet
from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.diffusion.timestep_shift import TimestepShift
from stable_audio_open.settings import Objective


class LatentDiffusion(nn.Module):
    """Autoencoder, conditioner and diffusion transformer.

    Args:
        autoencoder: Waveform to latents and back.
        conditioner: Prompts and seconds to conditioning.
        transformer: Latents and conditioning to velocity.
        window_samples: Longest generation, in samples.
        objective: What the transformer predicts.
        timestep_shift: Shift of a flow's times, or None.
    """

    def __init__(
        self,
        *,
        autoencoder: AudioAutoencoder,
        conditioner: Conditioner,
        transformer: DiffusionTransformer,
        window_samples: int,
        objective: Objective = "v",
        timestep_shift: TimestepShift | None = None,
    ) -> None:
        super().__init__()
        self.autoencoder = autoencoder
        self.conditioner = conditioner
        self.transformer = transformer
        self.window_samples = window_samples
        self.objective: Objective = objective
        self.timestep_shift = timestep_shift
        self._adapter_set = AdapterSet()

    @property
    def adapter_set(self) -> AdapterSet:
        """Adapters of the transformer that are not in its weights."""
        return self._adapter_set

    def with_transformer(self, transformer: DiffusionTransformer) -> "LatentDiffusion":
        """Return the same system with another transformer; all other parts are shared.

        Adapters stay with the transformer that they were loaded for.

        Args:
            transformer: It predicts the same objective from the same latents and conditions.
        """
        return LatentDiffusion(
            autoencoder=self.autoencoder,
            conditioner=self.conditioner,
            transformer=transformer,
            window_samples=self.window_samples,
            objective=self.objective,
            timestep_shift=self.timestep_shift,
        )

    @property
    def device(self) -> torch.device:
        """Where it generates."""
        return self.transformer.device

    @property
    def sample_rate(self) -> int:
        """Samples per second."""
        return self.autoencoder.sample_rate

    @property
    def window_seconds(self) -> float:
        """Longest generation, in seconds (47.55 when published)."""
        return self.window_samples / self.sample_rate

    @property
    def window_frames(self) -> int:
        """Longest generation, in latent frames (1024 when published)."""
        return self.window_samples // self.autoencoder.downsampling

    @property
    def precision(self) -> str:
        """Types of the parts, as `load` takes them: one name, or `part=name` joined by commas."""
        text = next(iter(self.conditioner.texts.values()))
        assert isinstance(text, TextConditioner)
        parts = {
            "transformer": self.transformer.dtype,
            "autoencoder": self.autoencoder.dtype,
            "text_encoder": text.dtype,
        }
        names = {part: str(kind).removeprefix("torch.") for part, kind in parts.items()}
        if names["transformer"] == names["autoencoder"] and names["text_encoder"] == "float32":
            return names["transformer"]
        return ",".join(f"{part}={name}" for part, name in names.items())

    def extra_repr(self) -> str:
        """Show the window."""
        return f"window_samples={self.window_samples}, objective={self.objective!r}"
