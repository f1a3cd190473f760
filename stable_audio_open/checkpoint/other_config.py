"""Whether a configuration is the one that weights were saved with."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import ModelConfig
from stable_audio_open.config.read import decode_config, model_part
from stable_audio_open.config.values.describe import found

logger = logging.getLogger(__name__)


def warn_of_other_config(
    config: ModelConfig, path: Path, header: Mapping[str, Any], *, weights: Path
) -> None:
    """Say where a configuration is not the one that the weights were saved with.

    It may have been changed by hand, or the file of another model copied over it.

    Args:
        config: The configuration.
        path: Its file.
        header: What the weights' file says about itself.
        weights: That file.
    """
    inside = header.get("config")
    if not isinstance(inside, str):
        return
    try:
        saved = decode_config(inside, source=str(weights))
    except ConfigError as error:
        logger.warning("%s; the one in %s is used", error, path.name)
        return
    if other := list(_differences(_plain(saved), _plain(config))):
        rest = f" and {len(other) - 3} more" if other[3:] else ""
        logger.warning(
            "%s: is not the configuration that %s was saved with (%s%s); it is used; unless it was "
            "changed on purpose, take both from one place",
            path,
            weights.name,
            ", ".join(other[:3]),
            rest,
        )


def refuse_beside_other(
    config: ModelConfig, there: ModelConfig, weights: Sequence[str], *, source: str
) -> None:
    """Refuse to put a configuration in the place of another one whose weights stay.

    Args:
        config: The configuration that comes.
        there: The one that it replaces.
        weights: Files of weights that stay.
        source: Where, for the message.

    Raises:
        CheckpointError: They differ, and weights stay.
    """
    if weights and (other := next(_differences(_plain(there), _plain(config)), None)):
        raise CheckpointError(
            f"{source}: {weights[0]} would stay there, which is of another configuration "
            f"({other}); choose another place, or delete it"
        )


def _plain(config: ModelConfig) -> Any:
    """Return the description of a model as plain values, but for what it is called."""
    plain: dict[str, Any] = msgspec.to_builtins(model_part(config))
    del plain["name"]
    return plain


def _differences(one: Any, other: Any, path: str = "$") -> Iterator[str]:
    """Yield paths, with both values, where two configurations differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys((*one, *other)):
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}")
    elif one != other:
        yield f"{path}: {found(one)} there and {found(other)} here"
