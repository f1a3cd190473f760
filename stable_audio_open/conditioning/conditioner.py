"""All conditioners together: prompts and seconds to `Conditioning`."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.conditioning.number import NumberConditioner
from stable_audio_open.conditioning.text import TextConditioner, Tokens
from stable_audio_open.conditions import Condition, Conditioning


class Prepared(NamedTuple):
    """Conditions of a batch as tensors, by conditioner id."""

    texts: dict[str, Tokens]
    numbers: dict[str, Float[Tensor, "batch"]]


class Conditioner(nn.Module):
    """Embed every condition and arrange them for the transformer (section 2.2).

    Args:
        texts: Text conditioners by id.
        numbers: Number conditioners by id.
        cross_attention: Ids whose tokens are joined along time, in this order.
        global_: Ids whose single tokens are joined along features, in this order.
    """

    def __init__(
        self,
        *,
        texts: Mapping[str, TextConditioner],
        numbers: Mapping[str, NumberConditioner],
        cross_attention: Sequence[str],
        global_: Sequence[str],
    ) -> None:
        super().__init__()
        self.texts = _by_id(texts)
        self.numbers = _by_id(numbers)
        self.cross_attention = tuple(cross_attention)
        self.global_ = tuple(global_)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    def prepare(self, conditions: Sequence[Mapping[str, str | float]]) -> Prepared:
        """Turn one mapping per item, conditioner id to value, into tensors.

        Raises:
            ValueError: When a value is missing, unknown, or of the wrong kind.
        """
        ids = [*self.texts, *self.numbers]
        for condition in conditions:
            if set(condition) != set(ids):
                raise ValueError(f"each item needs exactly {ids}, got {list(condition)}")
        texts, numbers = {}, {}
        for name, text in self.texts.items():
            assert isinstance(text, TextConditioner)
            texts[name] = text.prepare([str(condition[name]) for condition in conditions])
        for name, number in self.numbers.items():
            assert isinstance(number, NumberConditioner)
            numbers[name] = number.prepare([float(condition[name]) for condition in conditions])
        return Prepared(texts, numbers)

    def forward(self, prepared: Prepared) -> Conditioning:
        """Embed prepared conditions."""
        embedded: dict[str, Condition] = {
            name: self.texts[name](tokens) for name, tokens in prepared.texts.items()
        }
        embedded |= {name: self.numbers[name](values) for name, values in prepared.numbers.items()}
        cross = torch.cat([embedded[name].tokens for name in self.cross_attention], dim=1)
        singles = [embedded[name].tokens[:, 0] for name in self.global_]
        return Conditioning(
            cross=cross,
            global_=torch.cat(singles, dim=-1) if singles else cross.new_zeros(len(cross), 0),
        )


def _by_id(parts: Mapping[str, nn.Module]) -> nn.ModuleDict:
    modules = nn.ModuleDict()
    for name, part in parts.items():
        try:
            modules[name] = part
        except KeyError as error:  # torch's own names, and names with a dot
            raise ValueError(
                f'no conditioner can have the id "{name}", which PyTorch keeps for itself; '
                "call it otherwise"
            ) from error
    return modules
