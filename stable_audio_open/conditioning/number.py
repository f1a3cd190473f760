"""A number as one conditioning token."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.conditions import Condition
from stable_audio_open.nn.device import sent
from stable_audio_open.nn.fourier import FourierFeatures


class NumberConditioner(nn.Module):
    """Clamp to a range, scale to 0..1, then `linear([x, sin 2 pi x w, cos 2 pi x w])`.

    Args:
        width: Features of the token.
        minimum: Smaller numbers are clamped to it.
        maximum: Larger numbers are clamped to it.
        frequencies: Number of learned frequencies `w`.
    """

    def __init__(
        self, *, width: int, minimum: float, maximum: float, frequencies: int = 128
    ) -> None:
        super().__init__()
        self.minimum = minimum
        self.maximum = maximum
        self.features = FourierFeatures(frequencies=frequencies)
        self.projection = nn.Linear(2 * frequencies + 1, width)

    def prepare(self, values: Sequence[float]) -> Float[Tensor, "batch"]:
        """Put plain numbers on the module's device.

        Raises:
            ValueError: When a number is not finite.
        """
        numbers = torch.tensor(values, dtype=torch.float32)
        if not numbers.isfinite().all():
            raise ValueError(f"conditioning numbers must be finite, got {list(values)}")
        return sent(numbers, self.projection.weight.device)

    def forward(self, values: Float[Tensor, "batch"]) -> Condition:
        """Embed numbers as `[batch, 1, width]`."""
        weight = self.projection.weight
        dtype = torch.promote_types(weight.dtype, torch.float32)
        x = values.to(dtype).clamp(self.minimum, self.maximum)
        x = (x - self.minimum) / (self.maximum - self.minimum)
        phases = self.features(x)
        features = torch.cat((x[:, None], phases.sin(), phases.cos()), dim=-1)
        tokens = self.projection(features.to(weight.dtype))[:, None]
        return Condition(tokens, torch.ones(tokens.shape[:2], dtype=torch.bool, device=x.device))

    def extra_repr(self) -> str:
        """Show the range."""
        return f"minimum={self.minimum}, maximum={self.maximum}"
