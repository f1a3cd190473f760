"""The adapters of a model: which are loaded, and how each takes part."""

import math
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.diffusion.adapted_weights import (
    AdaptedWeights,
    LoadedAdapter,
    MergedWeights,
    Part,
)
from stable_audio_open.diffusion.dit import DiffusionTransformer


class AdapterUse(NamedTuple):
    """How an adapter takes part in a generation."""

    name: str
    weight: float = 1.0
    """1 for its full effect, 0 for none."""
    interval: tuple[float, float] = (0.0, math.inf)
    """Lowest and highest noise level sigma at which it is active, both included."""
    layers: tuple[int | str, ...] | None = None
    """Blocks by their numbers, and layers by patterns of their names; all when None."""


class AdapterSet:
    """Adapters by name, and how they take part unless a call says otherwise."""

    def __init__(self) -> None:
        self._loaded: dict[str, LoadedAdapter] = {}
        self._uses: tuple[AdapterUse, ...] = ()
        self._merged = MergedWeights()

    @property
    def loaded(self) -> Mapping[str, LoadedAdapter]:
        """Adapters by name."""
        return self._loaded

    @property
    def uses(self) -> tuple[AdapterUse, ...]:
        """How adapters take part; those that are not named do not."""
        return self._uses

    def load(self, name: str, adapter: LoadedAdapter) -> None:
        """Take an adapter in, which takes no part yet.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._loaded:
            raise ValueError(
                f"an adapter {name!r} is loaded already, from {self._loaded[name].folder}; give "
                "this one another name, or unload that one"
            )
        self._loaded[name] = adapter

    def unload(self, name: str) -> None:
        """Drop an adapter.

        Raises:
            ValueError: None of that name is loaded.
        """
        self.check([AdapterUse(name)])
        self.use([use for use in self._uses if use.name != name])
        del self._loaded[name]

    def use(self, uses: Sequence[AdapterUse]) -> None:
        """Let these adapters take part, and no others.

        Raises:
            ValueError: One is not loaded, or has none of the layers.
        """
        self.check(uses)
        self._uses = tuple(uses)
        self._merged.clear()

    def check(self, uses: Sequence[AdapterUse]) -> None:
        """Check that all adapters are loaded and have the layers.

        Raises:
            ValueError: One is not, or has not.
        """
        for use in uses:
            if use.name not in self._loaded:
                known = ", ".join(map(repr, self._loaded)) or "none"
                near = did_you_mean(use.name, self._loaded)
                raise ValueError(f"no adapter {use.name!r} is loaded; loaded: {known}{near}")
            _layers(self._loaded[use.name], use)

    def effective(self, uses: Sequence[AdapterUse]) -> list[tuple[AdapterUse, LoadedAdapter]]:
        """Return the uses that change a weight, each with its adapter."""
        return [(use, self._loaded[use.name]) for use in uses if use.weight != 0]

    def weights(
        self,
        transformer: DiffusionTransformer,
        uses: Sequence[AdapterUse],
        *,
        time: Callable[[float], float],
    ) -> AdaptedWeights:
        """Return a transformer's weights over time.

        Args:
            transformer: The transformer.
            uses: How adapters take part.
            time: From a noise level sigma to the model's time.
        """
        parts = [
            (
                Part(adapter, use.weight, _layers(adapter, use)),
                (time(use.interval[0]), time(use.interval[1])),
            )
            for use, adapter in self.effective(uses)
        ]
        return AdaptedWeights(transformer, parts, merged=self._merged)


def _layers(adapter: LoadedAdapter, use: AdapterUse) -> tuple[str, ...]:
    """Return the names of an adapter's layers that are chosen, in their order."""
    if use.layers is None:
        return tuple(adapter.layers)
    chosen: set[str] = set()
    for one in use.layers:
        pattern = f"blocks.{one}.*" if isinstance(one, int) else one
        found = {name for name in adapter.layers if fnmatchcase(name, pattern)}
        if not found:
            what = f"block {one}" if isinstance(one, int) else f"layer like {one!r}"
            raise ValueError(
                f"the adapter {use.name!r} has no {what}; it has {len(adapter.layers)} layers, "
                f"such as {next(iter(adapter.layers))}"
            )
        chosen |= found
    return tuple(name for name in adapter.layers if name in chosen)
