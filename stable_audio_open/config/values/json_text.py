"""JSON text to values, as strictly as the standard has it."""

import json
from collections import Counter
from typing import Any, NoReturn

from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.values.describe import named


def parse_json(data: bytes | str, *, source: str) -> Any:
    """Return the value of JSON text; `source` starts the messages.

    Raises:
        ConfigError: For text that is not UTF-8 or not JSON (with line and column), for a field
            that occurs twice in one object, and for NaN and Infinity.
    """

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        table = dict(pairs)
        if len(table) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            twice = next(name for name, count in counts.items() if count > 1)
            raise ConfigError(
                f"{source}: found the field {named(twice)} twice in one object; allowed: once"
            )
        return table

    def refuse_constant(name: str) -> NoReturn:
        raise ConfigError(f"{source}: found {name}; allowed: finite numbers")

    try:
        text = data if isinstance(data, str) else data.decode("utf-8-sig")
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse_constant)
    except ConfigError:
        raise
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{source}: found byte {error.object[error.start]:#04x} at offset {error.start}; "
            "allowed: JSON as UTF-8 text"
        ) from error
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{source}: invalid JSON at line {error.lineno}, column {error.colno}: "
            f"{error.msg[0].lower()}{error.msg[1:]}"
        ) from error
    except ValueError as error:  # Python's limit on the digits of a number
        raise ConfigError(f"{source}: found a number of too many digits to be read") from error
    except RecursionError as error:
        raise ConfigError(f"{source}: the JSON is nested too deeply to be read") from error
