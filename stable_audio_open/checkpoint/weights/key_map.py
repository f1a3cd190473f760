"""Tensor names of another layout: a table of rules, used in both directions.

A table row names one layer here and there, with placeholders for what is counted, and the kind of
layer, which says how its tensors are called:

    KeyRow("blocks.{b}.snake", "layers.{b1}.layers.3", "snake")
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

UNITS_PER_BLOCK = 3

Shape = Literal["same", "column", "channels"]


class Leaf(NamedTuple):
    """One tensor of a layer: its name here, its name there, and its shape there.

    `"column"` is `[n, 1]` and `"channels"` is `[1, n, 1]` where it is `[n]` here.
    """

    native: str
    foreign: str
    shape: Shape = "same"


COMMON_KINDS: Mapping[str, tuple[Leaf, ...]] = {
    "conv": (
        Leaf("parametrizations.weight.original0", "weight_g"),
        Leaf("parametrizations.weight.original1", "weight_v"),
        Leaf("bias", "bias"),
    ),
    "conv without bias": (
        Leaf("parametrizations.weight.original0", "weight_g"),
        Leaf("parametrizations.weight.original1", "weight_v"),
    ),
    "linear": (Leaf("weight", "weight"), Leaf("bias", "bias")),
    "matrix": (Leaf("weight", "weight"),),
    "number features": (Leaf("weight", "weights"),),
}
"""Layers whose tensors both foreign layouts call alike."""


class KeyRow(NamedTuple):
    """One layer. Several foreign names (joined by `|`) are stacked along the first dimension."""

    native: str
    foreign: str
    kind: str


@dataclass(frozen=True)
class Rule:
    """One native tensor, and the tensors of the other layout that hold the same numbers."""

    native: str
    foreign: tuple[str, ...]
    shape: Shape = "same"

    def to_native(self, tensors: Sequence[Tensor]) -> Tensor:
        """Join the other layout's tensors."""
        tensor = tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))
        return tensor if self.shape == "same" else tensor.reshape(-1)

    def to_foreign(self, tensor: Tensor) -> Sequence[Tensor]:
        """Split into the other layout's tensors."""
        match self.shape:
            case "column":
                tensor = tensor[:, None]
            case "channels":
                tensor = tensor[None, :, None]
            case "same":
                pass
        return [tensor] if len(self.foreign) == 1 else tensor.chunk(len(self.foreign))


@dataclass(frozen=True)
class KeyMap:
    """How the tensors of a model are called in another layout.

    Args:
        rules: One for each native tensor that is known by name.
        computed: Native tensors that the layout does not store.
        prefixes: Native prefix to foreign prefix, for tensors whose names are the same otherwise.
    """

    rules: tuple[Rule, ...] = ()
    computed: Mapping[str, Tensor] = field(default_factory=dict)
    prefixes: Mapping[str, str] = field(default_factory=dict)

    def to_native(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename and reshape a complete set of tensors of the other layout."""
        return dict(self.computed) | {
            rule.native: rule.to_native([tensors[name] for name in rule.foreign])
            for rule in self.rules
        }

    def to_foreign(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename and reshape native tensors; works on the meta device too."""
        return {
            name: part
            for rule in self.rules
            for name, part in zip(rule.foreign, rule.to_foreign(tensors[rule.native]), strict=True)
        }

    def select(self, names: Iterable[str]) -> "KeyMap":
        """Return the map with one rule for each of these native names, and no others.

        Raises:
            KeyError: When the layout has no rule for a name.
        """
        by_name = {rule.native: rule for rule in self.rules}
        rules = [
            by_name.get(name) or self._prefixed(name) for name in names if name not in self.computed
        ]
        return KeyMap(tuple(rules), self.computed)

    def under(self, native: str, foreign: str) -> "KeyMap":
        """Return the map with prefixes before all names."""
        return KeyMap(
            tuple(
                replace(
                    rule,
                    native=native + rule.native,
                    foreign=tuple(foreign + name for name in rule.foreign),
                )
                for rule in self.rules
            ),
            {native + name: tensor for name, tensor in self.computed.items()},
            {native + here: foreign + there for here, there in self.prefixes.items()},
        )

    def _prefixed(self, name: str) -> Rule:
        for here, there in self.prefixes.items():
            if name.startswith(here):
                return Rule(name, (there + name.removeprefix(here),))
        raise KeyError(name)

    def __add__(self, other: "KeyMap") -> "KeyMap":
        return KeyMap(
            self.rules + other.rules,
            {**self.computed, **other.computed},
            {**self.prefixes, **other.prefixes},
        )


IDENTITY = KeyMap(prefixes={"": ""})
"""The same names."""


def expand(
    rows: Iterable[KeyRow], kinds: Mapping[str, Sequence[Leaf]], *, blocks: int
) -> Iterator[Rule]:
    """Yield the rules of a table.

    Placeholders: `{b}` counts the blocks from 0 and `{b1}` from 1; `{u}`, `{u1}` and `{u2}` count
    a block's residual units from 0, 1 and 2; `{n1}` and `{n2}` are the number of blocks plus 1
    and plus 2.

    Args:
        rows: The layers.
        kinds: The tensors of each kind of layer.
        blocks: Number of blocks.
    """
    for row in rows:
        for b in range(blocks if "{b" in row.native else 1):
            for u in range(UNITS_PER_BLOCK if "{u" in row.native else 1):
                place = {"b": b, "b1": b + 1, "u": u, "u1": u + 1, "u2": u + 2}
                place |= {"n1": blocks + 1, "n2": blocks + 2}
                native = row.native.format_map(place)
                foreign = [name.format_map(place) for name in row.foreign.split("|")]
                for leaf in kinds[row.kind]:
                    yield Rule(
                        f"{native}.{leaf.native}",
                        tuple(f"{name}.{leaf.foreign}" for name in foreign),
                        leaf.shape,
                    )
