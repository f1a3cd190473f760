"""The transformer bound to one generation: what does not change from step to step is done once."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from stable_audio_open.conditions import Conditioning
from stable_audio_open.diffusion.adapted_weights import AdaptedWeights, Part
from stable_audio_open.diffusion.dit import DiffusionTransformer, ProjectedConditioning
from stable_audio_open.nn.attention import KeyValue
from stable_audio_open.nn.device import filled
from stable_audio_open.nn.inference import kept_for_later


class Mixture(NamedTuple):
    """Items whose velocity is a weighted sum: each row of a conditioning belongs to one item.

    A column, of a row of the conditioning, is its weight at its item and 0 at the others.
    """

    conditional: Float[Tensor, "items rows"]
    null: Float[Tensor, "items null_rows"]


class ConditionedTransformer:
    """Velocities given a conditioning, and given the null or a negative one.

    The context's keys and values, the global embedding, the rotary table and the embeddings of
    all `times` are computed here, before the first step; where other adapters are active later,
    those are computed once more when that begins.

    Args:
        transformer: The model.
        conditioning: Conditioning of the batch: a row for each item or, in a mixture, several.
        negative: Cross-attention tokens of the null half; zeros when None, for which its
            cross-attention is left out (5.5 % of a step): without biases, it gives exactly 0. The
            global conditioning is the same for both halves.
        times: Timesteps that will be asked for; any other is embedded when it is.
        frames: Latent frames of the window.
        mixture: How rows make items; each makes one when None.
        keep: Keep what is computed beforehand (38 MB an item at the published size); else it is
            computed at every step (0.4 % of a step), for runs that hold many of these.
        known: What each item keeps, of models with inpainting channels; the same for both halves.
        weights: The transformer's weights over time; its own at all times when None.
    """

    def __init__(
        self,
        transformer: DiffusionTransformer,
        conditioning: Conditioning,
        *,
        negative: Float[Tensor, "null_rows tokens width"] | None,
        times: Iterable[float],
        frames: int,
        mixture: Mixture | None = None,
        keep: bool = True,
        known: Float[Tensor, "items known_channels frames"] | None = None,
        weights: AdaptedWeights | None = None,
    ) -> None:
        cross, global_ = conditioning.cross, conditioning.global_
        self._rows = len(cross)
        self._mixture = mixture
        if mixture is not None:
            self._owners = mixture.conditional.argmax(dim=0)
            self._null_owners = mixture.null.argmax(dim=0)
            first = mixture.conditional.argmax(dim=1)
            global_ = torch.cat((global_, global_[first[self._null_owners]]))
            known = None if known is None else self._both_halves(known)
        both = Conditioning(
            cross=cross if negative is None else torch.cat((cross, negative)),
            global_=global_,
            known=known,
        )
        self._transformer = transformer
        self._conditioning = both
        self._frames = frames
        self._device = cross.device
        self._weights = weights or AdaptedWeights(transformer)
        self._keep = keep
        self._asked = list(dict.fromkeys(times)) if keep else []
        self._times: dict[float, Tensor] = {}
        self._kept: tuple[tuple[Part, ...], ProjectedConditioning] | None = None
        if keep:
            begin = self._asked[0] if self._asked else 0.0
            with self._weights.at(begin):
                self._kept = self._prepared(begin)

    def conditional(
        self, x: Float[Tensor, "batch latent_channels frames"], t: float
    ) -> Float[Tensor, "batch latent_channels frames"]:
        """Return the velocity given the conditioning."""
        x = x.to(self._transformer.dtype)
        if self._mixture is not None:
            x = x[self._owners]
        with self._weights.at(t):
            projected = _first(self._both(t), self._rows)
            rows = self._transformer.predict(x, self._time(t), projected)
        return rows if self._mixture is None else _mixed(self._mixture.conditional, rows)

    def pair(
        self, x: Float[Tensor, "batch latent_channels frames"], t: float
    ) -> tuple[Tensor, Tensor]:
        """Return the velocities given the conditioning and given the null one, in one call."""
        x = x.to(self._transformer.dtype)
        with self._weights.at(t):
            projected = self._both(t)
            if self._mixture is None:
                return self._transformer.predict_pair(x, self._time(t), projected)
            rows = self._transformer.predict(self._both_halves(x), self._time(t), projected)
        conditional, null = rows[: self._rows], rows[self._rows :]
        return _mixed(self._mixture.conditional, conditional), _mixed(self._mixture.null, null)

    def _both(self, t: float) -> ProjectedConditioning:
        if not self._keep:
            return self._transformer.project(self._conditioning, frames=self._frames)
        if self._kept is None or self._kept[0] != self._weights.active(t):
            self._kept = None  # first, for its memory
            with kept_for_later():  # whoever asks for it next may want gradients
                self._kept = self._prepared(t)
        return self._kept[1]

    def _prepared(self, t: float) -> tuple[tuple[Part, ...], ProjectedConditioning]:
        """Compute what is the same wherever what is active at a time is; its weights are in."""
        active = self._weights.active(t)
        alike = [one for one in self._asked if self._weights.active(one) == active]
        if new := [one for one in alike if one not in self._times]:
            self._times |= self._embed(new)
        return active, self._transformer.project(self._conditioning, frames=self._frames)

    def _both_halves(self, x: Float[Tensor, "items channels frames"]) -> Tensor:
        """Return what belongs to items once for each row of a mixture."""
        return x[torch.cat((self._owners, self._null_owners))]

    def _time(self, t: float) -> Tensor:
        if not self._keep:
            return self._embed([t])[t]
        if t not in self._times:
            with kept_for_later():  # whoever asks for it next may want gradients
                self._times |= self._embed([t])
        return self._times[t]

    def _embed(self, times: list[float]) -> dict[float, Tensor]:
        embedded = self._transformer.embed_times(filled(times, self._device))
        return dict(zip(times, embedded.split(1), strict=True))


def _mixed(weights: Tensor, rows: Tensor) -> Tensor:
    return einsum(weights.to(rows), rows, "items rows, rows channels time -> items channels time")


def _first(both: ProjectedConditioning, rows: int) -> ProjectedConditioning:
    return ProjectedConditioning(
        context=[KeyValue(key[:rows], value[:rows]) for key, value in both.context],
        global_=both.global_[:rows],
        rotary=both.rotary,
        known=None if both.known is None else both.known[:rows],
    )
