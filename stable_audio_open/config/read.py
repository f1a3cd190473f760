"""Configuration files to typed configurations, and back."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from stable_audio_open.arguments.nearest import did_you_mean
from stable_audio_open.config.curation import CurationConfig
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import ModelConfig
from stable_audio_open.config.stable_audio_tools import from_stable_audio_tools
from stable_audio_open.config.values.check import check, type_info
from stable_audio_open.config.values.describe import found
from stable_audio_open.config.values.json_text import parse_json
from stable_audio_open.config.values.overrides import override


def read_config(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), *, for_training: bool = True
) -> ModelConfig:
    """Read a configuration file, native or in the layout of stable-audio-tools.

    Args:
        path: A JSON file. One with a `model_type` is taken for the published layout of
            stable-audio-tools (`model_config.json`) and translated.
        overrides: `path.to.field=value` each, applied in order to the native configuration:
            `training.batch_size=4`, `conditioning.conditioners.0.max_length=64`. Values are JSON,
            else strings.
        for_training: Refuse the training section of a `model_config.json` that cannot be
            translated; without this it is left out, with a warning in the log.

    Raises:
        ConfigError: One line that names the file, the JSON path, what was found there, what is
            allowed, and the nearest name to one that was mistyped.
    """
    path = Path(path)
    return _decode(_read_bytes(path), overrides, source=str(path), for_training=for_training)


def read_curation(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> CurationConfig:
    """Read a curation from a configuration file; overrides and errors are those of `read_config`.

    Raises:
        ConfigError: One line, as `read_config` says it.
    """
    path = Path(path)
    source = str(path)
    value = _without_schema(parse_json(_read_bytes(path), source=source), source=source)
    config: CurationConfig = _typed(value, CurationConfig, overrides, source=source)
    return config


def decode_config(data: bytes | str, *, source: str) -> ModelConfig:
    """Read a configuration from JSON text; `source` starts the error messages."""
    return _decode(data, (), source=source)


def encode_config(config: ModelConfig) -> bytes:
    """Return the configuration as indented native JSON, every field spelt out."""
    return msgspec.json.format(msgspec.json.encode(config), indent=2) + b"\n"


def model_part(config: ModelConfig) -> ModelConfig:
    """Return the configuration without its data and training sections."""
    return msgspec.structs.replace(config, data=None, training=None)


def _decode(
    data: bytes | str, overrides: Sequence[str], *, source: str, for_training: bool = True
) -> ModelConfig:
    value = parse_json(data, source=source)
    if isinstance(value, dict) and "model_type" in value:
        translated = from_stable_audio_tools(value, source=source, for_training=for_training)
        if not overrides:
            return translated
        value = msgspec.to_builtins(translated)
        source = f"{source} (translated)"
    config: ModelConfig = _typed(
        _without_schema(value, source=source), ModelConfig, overrides, source=source
    )
    return config


def _without_schema(value: object, *, source: str) -> object:
    if not isinstance(value, dict) or "$schema" not in value:
        return value
    if not isinstance(value["$schema"], str):
        raise ConfigError(f"{source}: $.$schema: {found(value['$schema'])}; allowed: a string")
    return {name: part for name, part in value.items() if name != "$schema"}


def _typed(value: object, kind: Any, overrides: Sequence[str], *, source: str) -> Any:
    """Return the value with its overrides as a configuration of a kind."""
    info = type_info(kind)
    for text in overrides:
        value = override(value, info, text, source=source)
    check(value, info, source=source)
    return msgspec.convert(value, kind)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        existing = path.parent
        while not existing.is_dir():
            existing = existing.parent
        missing = path.relative_to(existing).parts[0]
        names = [entry.name for entry in existing.iterdir()]
        is_file = existing == path.parent
        what = "no such file" if is_file else f'there is no folder "{existing / missing}"'
        near = did_you_mean(missing, names)
        raise ConfigError(f"{path}: {what}{near}") from error
    except IsADirectoryError as error:
        files = sorted(entry.name for entry in path.glob("*.json"))
        raise ConfigError(
            f"{path}: found a folder; allowed: a JSON file"
            + (f", such as {', '.join(files[:5])}" if files else "")
        ) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
