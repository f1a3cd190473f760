"""A transformer's weights with adapters in them, for as long as each is active; its own are kept.

Merged weights cost nothing at each step, and merging them is far less work than a step: so they are
merged whenever the active adapters change.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from torch import Tensor, nn

from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.nn.inference import kept_for_later
from stable_audio_open.nn.low_rank import LowRank, adapted_weight
from stable_audio_open.nn.weights import value_fault


class LoadedAdapter:
    """An adapter that is ready to take part; no two are equal.

    Args:
        layers: Its change of each linear layer, by the layer's name.
        folder: Where it was read.
        digest: Hash of its files.
    """

    def __init__(self, layers: Mapping[str, LowRank], *, folder: str, digest: str) -> None:
        self.layers = layers
        self.folder = folder
        self.digest = digest


class Part(NamedTuple):
    """What is added to the weights of a transformer."""

    adapter: LoadedAdapter
    weight: float
    """1 for its full effect."""
    layers: tuple[str, ...]
    """Layers that are changed, of those that it has."""


class MergedWeights:
    """Weights with adapters in them, of which the last are kept; copies and pickles have none."""

    def __init__(self) -> None:
        self._parts: Sequence[Part] = ()
        self._bases: list[tuple[Tensor, Hashable]] = []
        self._merged: dict[str, nn.Parameter] = {}

    def __reduce__(self) -> tuple[type["MergedWeights"], tuple[()]]:
        return MergedWeights, ()

    def clear(self) -> None:
        """Keep none."""
        self._parts, self._bases, self._merged = (), [], {}

    def of(self, layers: Mapping[str, nn.Linear], parts: Sequence[Part]) -> dict[str, nn.Parameter]:
        """Return the weight of each layer with all parts in it, in the type that it has.

        Args:
            layers: The linear layers of the transformer that the parts change, with their own
                weights.
            parts: What is added.

        Raises:
            ValueError: A sum is not finite.
        """
        bases = [(layer.weight, _state(layer.weight)) for layer in layers.values()]
        is_same = self._parts == parts and len(bases) == len(self._bases)
        if not is_same or any(
            now is not then or state != before
            for (now, state), (then, before) in zip(bases, self._bases, strict=True)
        ):
            self.clear()  # first, for its memory
            with kept_for_later():
                self._merged = _merged(layers, parts)
            self._parts, self._bases = parts, bases
        return self._merged


class AdaptedWeights:
    """The weights of a transformer over time: adapters are in them where they are active.

    Args:
        transformer: The transformer, between calls with its own weights.
        parts: What is added, each with the first and the last time at which it is.
        merged: What keeps merged weights.
    """

    def __init__(
        self,
        transformer: DiffusionTransformer,
        parts: Sequence[tuple[Part, tuple[float, float]]] = (),
        *,
        merged: MergedWeights | None = None,
    ) -> None:
        changed = {name for part, _ in parts for name in part.layers}
        self._transformer = transformer
        self._parts = parts
        self._merged = merged or MergedWeights()
        self._layers = {
            name: module
            for name, module in transformer.named_modules()
            if name in changed and isinstance(module, nn.Linear)
        }
        assert self._layers.keys() == changed

    def active(self, t: float) -> tuple[Part, ...]:
        """Return what is added at a time; all that is computed under one such answer is alike."""
        return tuple(part for part, (first, last) in self._parts if first <= t <= last)

    @contextmanager
    def at(self, t: float) -> Iterator[None]:
        """Have the transformer compute with the weights of a time."""
        parts = self.active(t)
        if not parts:
            yield
            return
        names = {name for part in parts for name in part.layers}
        layers = {name: layer for name, layer in self._layers.items() if name in names}
        merged = self._merged.of(layers, parts)
        own = {name: layer.weight for name, layer in layers.items()}
        # What is computed again in a backward pass would be so with other weights.
        checkpointing = self._transformer.activation_checkpointing
        self._transformer.activation_checkpointing = "none"
        try:
            for name, layer in layers.items():
                layer.weight = merged[name]
            yield
        finally:
            for name, layer in layers.items():
                layer.weight = own[name]
            self._transformer.activation_checkpointing = checkpointing


def _merged(layers: Mapping[str, nn.Linear], parts: Sequence[Part]) -> dict[str, nn.Parameter]:
    found: dict[str, nn.Parameter] = {}
    for name, layer in layers.items():
        own = layer.weight
        changes = [
            (part.adapter.layers[name], part.weight) for part in parts if name in part.layers
        ]
        weight = adapted_weight(own, changes).to(own.dtype)
        found[name] = nn.Parameter(weight, requires_grad=False)
    if fault := value_fault(found):
        folders = ", ".join(f"{part.adapter.folder} (weight {part.weight:g})" for part in parts)
        raise ValueError(f"{folders}: with adapters, {fault}")
    return found


def _state(weight: Tensor) -> Hashable:
    """Return what changes when a weight does; always of those whose changes are not counted."""
    version = object() if weight.is_inference() else weight._version
    return weight.data_ptr(), version, weight.dtype, weight.device
