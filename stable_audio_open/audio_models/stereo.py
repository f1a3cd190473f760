"""Stereo recordings for networks of one channel."""

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.audio_models.embedder import Embedder


class StereoEmbedder:
    """Left and right embedded apart, their vectors side by side, as in the paper (section 6.1).

    Args:
        embedder: An embedder of one channel.
    """

    def __init__(self, embedder: Embedder) -> None:
        self.embedder = embedder
        self.name = f"{embedder.name} left and right"
        self.sample_rate = embedder.sample_rate

    def __call__(
        self, audio: Float[Tensor, "channels time"]
    ) -> Float[Tensor, "windows twice_width"]:
        """Return vectors of twice the embedder's width; mono counts as left and right.

        Raises:
            ValueError: There are more than two channels, or none.
        """
        if audio.shape[0] not in (1, 2):
            raise ValueError(f"audio has {audio.shape[0]} channels; allowed: 1, 2")
        vectors = [self.embedder(channel) for channel in audio]
        return torch.cat([vectors[0], vectors[-1]], dim=-1)
