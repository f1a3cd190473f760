"""Which models and adapters there are, and what is known of them."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import NamedTuple

import msgspec


class Named(NamedTuple):
    """A model or an adapter: the name by which it is asked for, and where it is."""

    name: str
    source: str


class ServedModels(msgspec.Struct, frozen=True, kw_only=True):
    """Models and adapters that there are, and how they are loaded.

    Raises:
        ValueError: There is no model, or two have one name.
    """

    models: tuple[Named, ...] = (Named("tiny", "tiny"),)
    """All are loaded by every worker; the first is meant where none is named."""
    adapters: tuple[Named, ...] = ()
    """Folders in peft's format, which go with any of the models whose layers they fit."""
    text_encoder: str | None = None
    """As `load` takes it, for all models."""
    dtype: str | None = None
    """Number format of the weights, as `load` takes it."""
    attention: str = "sdpa"
    """Backend of attention, as `load` takes it."""
    threads: int | None = None
    """CPU threads of each worker; PyTorch's choice where None."""

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("there is no model to serve; give at least one")
        for kind, named in (("models", self.models), ("adapters", self.adapters)):
            names = [one.name for one in named]
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(
                        f'two {kind} are named "{name}"; give another name, as NAME=SOURCE'
                    )


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one needs to know of a model to ask for sounds."""

    name: str
    sample_rate: int
    channels: int
    window_seconds: float
    """Longest sound that is made in one piece."""
    objective: str
    conditions: tuple[str, ...]
    """Names of the numbers that it is conditioned on, but for seconds."""
    steps: int
    """Sampling steps where none are asked for, and so are the following."""
    guidance_scale: float
    sampler: str
    schedule: str
    device: str
    dtype: str
    adapters: tuple[str, ...] = ()
    """Names of those that fit it."""


def named(texts: Sequence[str]) -> tuple[Named, ...]:
    """Return what `NAME=SOURCE` says; without a name it is the last part of the source.

    Raises:
        ValueError: A name or a source is empty.
    """
    found = []
    for text in texts:
        name, equals, source = text.partition("=")
        if not equals:
            name, source = PurePath(text).name, text
        if not name or not source:
            raise ValueError(f"{text!r} names nothing; give SOURCE, or NAME=SOURCE")
        found.append(Named(name, source))
    return tuple(found)
