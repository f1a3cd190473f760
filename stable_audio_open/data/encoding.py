"""Recordings to the posterior of their latents, and what names the autoencoder that made them."""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from stable_audio_open.audio.files import AudioFileError, read_audio

FORMAT = 2
"""Version of what is stored: means and standard deviations. The first held means alone."""

ENTRY = "posterior"
"""Name of the one tensor of a stored file."""


@runtime_checkable
class LatentDistribution(Protocol):
    """A diagonal Gaussian over the (unscaled) latents."""

    @property
    def mean(self) -> Float[Tensor, "batch latent_channels frames"]:
        """Its means."""

    @property
    def std(self) -> Float[Tensor, "batch latent_channels frames"]:
        """Its standard deviations."""


@runtime_checkable
class LatentEncoder(Protocol):
    """What encoding needs of an autoencoder."""

    @property
    def downsampling(self) -> int:
        """Samples per latent."""

    @property
    def sample_rate(self) -> int:
        """Rate that it was trained at."""

    @property
    def scale(self) -> float:
        """What latents are divided by."""

    def state_dict(self) -> Mapping[str, Any]:
        """Its weights, which identify the cache."""

    def posterior(
        self, audio: Float[Tensor, "batch channels time"], *, chunked: bool
    ) -> LatentDistribution:
        """Audio to the distribution of its latents, which `scale` has not divided yet."""


class Encoded(NamedTuple):
    """A whole recording."""

    posterior: Float[Tensor, "2 latent_channels frames"]
    """Means and standard deviations of its latents, divided by the autoencoder's scale."""
    seconds: float
    """Its length, without the silence after it."""


def encoder_fingerprint(encoder: LatentEncoder) -> str:
    """Return a name of all that decides the latents: the weights, without the decoder's.

    It is the same on any device, and stays when the decoder alone is trained further.
    """
    digest = hashlib.sha256(f"{encoder.downsampling} {encoder.scale}".encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        if name.startswith("decoder."):
            continue
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        # Bytes of any dtype, bfloat16 included.
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


@torch.inference_mode()
def encode_recording(
    autoencoder: LatentEncoder, source: Path, *, channels: int, window_samples: int
) -> Encoded:
    """Encode a recording whole, in float32 and on the CPU afterwards.

    It is followed by silence up to `window_samples` at least and to a whole number of latents.

    Args:
        autoencoder: It decides the sample rate; audio is moved to the device of its weights.
        source: The recording.
        channels: Audio channels that the autoencoder takes.
        window_samples: The diffusion model's window.

    Raises:
        AudioFileError: The recording cannot be read, or its latents are not finite.
    """
    audio = read_audio(source, sample_rate=autoencoder.sample_rate, channels=channels)
    hop = autoencoder.downsampling
    length = audio.samples.shape[-1]
    padded = math.ceil(max(length, window_samples) / hop) * hop
    samples = functional.pad(audio.samples, (0, padded - length))
    weight = next((w for w in autoencoder.state_dict().values() if w.is_floating_point()), samples)
    found = autoencoder.posterior(samples.to(weight), chunked=True)
    scaled = [(part / autoencoder.scale)[0].float().cpu() for part in (found.mean, found.std)]
    posterior = torch.stack(scaled)
    if not torch.isfinite(posterior).all():
        raise AudioFileError(
            f"{source}: its latents are NaN or infinite; use dtype float32 or another autoencoder"
        )
    return Encoded(posterior, audio.duration)
