"""The transformer bound to one generation: what does not change from step to step is done once."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.dit import DiffusionTransformer, ProjectedConditioning
from stable_audio_open.nn.attention import KeyValue


class ConditionedTransformer:
    """Velocities given a conditioning, and given the null or a negative one.

    The context's keys and values, the global embedding, the rotary table and the embeddings of
    all `times` are computed here, before the first step.

    Args:
        transformer: The model.
        conditioning: Conditioning of the batch.
        negative: Cross-attention tokens of the null half; zeros when None. The global
            conditioning is the same for both halves.
        times: Timesteps that will be asked for; any other is embedded when it is.
        frames: Latent frames of the window.
    """

    def __init__(
        self,
        transformer: DiffusionTransformer,
        conditioning: Conditioning,
        *,
        negative: Float[Tensor, "batch tokens width"] | None,
        times: Iterable[float],
        frames: int,
    ) -> None:
        cross = conditioning.cross
        null = torch.zeros_like(cross) if negative is None else negative
        both = Conditioning(
            cross=torch.cat((cross, null)), global_=conditioning.global_.repeat(2, 1)
        )
        self._transformer = transformer
        self._both = transformer.project(both, frames=frames)
        self._conditional = _first_half(self._both)
        self._device = cross.device
        self._times = self._embed(list(dict.fromkeys(times)))

    def conditional(
        self, x: Float[Tensor, "batch latent_channels frames"], t: float
    ) -> Float[Tensor, "batch latent_channels frames"]:
        """Return the velocity given the conditioning."""
        x = x.to(self._transformer.dtype)
        return self._transformer.predict(x, self._time(t), self._conditional)

    def pair(
        self, x: Float[Tensor, "batch latent_channels frames"], t: float
    ) -> tuple[Tensor, Tensor]:
        """Return the velocities given the conditioning and given the null one, in one call."""
        doubled = x.to(self._transformer.dtype).repeat(2, 1, 1)
        conditional, null = self._transformer.predict(doubled, self._time(t), self._both).chunk(2)
        return conditional, null

    def _time(self, t: float) -> Tensor:
        if t not in self._times:
            self._times |= self._embed([t])
        return self._times[t]

    def _embed(self, times: list[float]) -> dict[float, Tensor]:
        embedded = self._transformer.embed_times(
            torch.tensor(times, dtype=torch.float32, device=self._device)
        )
        return dict(zip(times, embedded.split(1), strict=True))


def _first_half(both: ProjectedConditioning) -> ProjectedConditioning:
    half = len(both.global_) // 2
    return ProjectedConditioning(
        context=[KeyValue(key[:half], value[:half]) for key, value in both.context],
        global_=both.global_[:half],
        rotary=both.rotary,
    )
