"""What the tags of a sound say of how it was made, and its settings as JSON."""

import math
import os
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any

import msgspec

from stable_audio_open.audio.writing.tags import MARK, TagError, Tags


class UsedAdapter(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An adapter that took part without being merged into the model's own weights."""

    name: str
    """What it was called."""
    folder: str
    """Where it was read."""
    hash: str
    """Hash of its files."""
    weight: float
    """How much of it took part."""
    interval: tuple[float, float | None] = (0.0, None)
    """Lowest and highest noise level sigma at which it was active; None is infinite."""
    layers: tuple[int | str, ...] | None = None
    """Blocks and layers that it was limited to."""

    def options(self) -> dict[str, Any]:
        """Return how it took part, as `set_adapters` takes it."""
        low, high = self.interval
        interval = (low, math.inf if high is None else high)
        return {"weight": self.weight, "interval": interval, "layers": self.layers}


class Source(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model was loaded from, in the words of `load`."""

    name: str = ""
    """Source of the model; empty where it was built in memory."""
    use_ema: bool = True
    """The averaged weights of a training checkpoint were taken."""
    text_encoder: str | None = None
    """Source of the text encoder; None for the one that the model brings or names."""
    attention: str = "sdpa"
    """Backend of attention."""
    lora: tuple[tuple[str, float, str], ...] = ()
    """Folder, weight and hash of each adapter that was merged."""
    variant: str | None = None
    """Variant of its weights; None for the weights as such."""
    revision: str | None = None
    """Branch, tag or commit on the hub; None for the main branch."""
    adapters: tuple[UsedAdapter, ...] = ()
    """Those that took part beside them."""


class Making(msgspec.Struct, frozen=True, kw_only=True):
    """How an item was made: all that its samples depend on but the machine.

    The names are those of the tags, in their order.
    """

    stable_audio_open: str
    """Version of this library."""
    torch: str
    """Version of PyTorch."""
    prompt: str
    """Text that the item was made from."""
    seed: int
    """Seed of its noise."""
    item: int
    """Its place in the batch, whose other items change its last digits."""
    method: str
    """Method of the model that was called."""
    settings: dict[str, Any]
    """Arguments of the whole batch, as JSON, with what stood for None where the model has a value
    of its own."""
    model: Source
    """What the model was loaded from."""
    weights: str
    """Hash of all parameters and buffers, with the adapters in them that were merged."""
    dtype: str
    """Number format of the transformer's weights."""
    device: str
    """Where it computed."""
    threads: Annotated[int, msgspec.Meta(ge=1, le=1024)]
    """CPU threads."""
    chunk: int
    """Latent frames that the autoencoder encodes or decodes at once."""
    matmul: Annotated[str, msgspec.Meta(pattern="^(highest|high|medium)$")]
    """PyTorch's precision of products of float32 matrices: `highest` unless it was lowered."""
    config: str
    """Hash of the model's configuration; empty where it has none."""
    finishing: tuple[dict[str, Any], ...] = ()
    """Arguments of each `Audio.finish` since."""


def making_of(tags: Tags, path: Path) -> Making:
    """Return what the tags of a file say.

    Raises:
        TagError: They are not as this library writes them.
    """
    try:
        return msgspec.convert(tags, Making)
    except msgspec.ValidationError as error:
        raise TagError(
            f"{path}: its tags are not whole ({error}); they were written by stable-audio-open "
            f"{tags.get(MARK)}, or changed since"
        ) from error


def from_json(value: object) -> Any:
    """Return a value of `Making.settings` as it was given; lists are tuples."""
    match value:
        case {"number": str(text)}:
            return float(text)
        case dict():
            return {name: from_json(part) for name, part in value.items()}
        case list() | tuple():
            return tuple(from_json(part) for part in value)
        case _:
            return value


def as_json(value: object) -> Any:
    """Return a value as JSON knows it; what it does not know by its type."""
    match value:
        case None | bool():
            return value
        case str():  # and those that are like Python's own, NumPy's among them
            return str(value)
        case Integral():
            return int(value)
        case Real():
            number = float(value)
            return number if math.isfinite(number) else {"number": str(number)}
        case list() | tuple():
            return [as_json(part) for part in value]
        case Mapping():
            return {str(name): as_json(part) for name, part in value.items()}
        case os.PathLike():
            return os.fspath(value)
        case _ if hasattr(value, "tolist"):  # arrays and tensors
            return as_json(value.tolist())
        case _:
            return {"type": type(value).__name__}
