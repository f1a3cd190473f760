"""Command line overrides: `training.optimizer.lr=1e-4` into a configuration's JSON value."""

from collections.abc import Iterator

import msgspec
from msgspec import NODEFAULT, inspect

from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.values.check import (
    check,
    choose_struct,
    field_types,
    refuse_field,
    step,
)
from stable_audio_open.config.values.describe import allowed, found, named
from stable_audio_open.config.values.json_text import parse_json


def override(value: object, kind: inspect.Type, text: str, *, source: str) -> object:
    """Return `value` with one override applied.

    Args:
        value: The configuration as JSON value; it is left as it is.
        kind: Its type.
        text: `path.to.field=new`. List items are counted from 0 (`conditioners.0.max_length`),
            sections that are absent or null are created (of the first of several types), and `new`
            is JSON, else a string.
        source: The file name, for messages.

    Raises:
        ConfigError: When the path does not exist or does not take the new value.
    """
    source = f"{source}: override {named(text)}"
    path, equals, new = text.partition("=")
    if not equals or not path:
        raise ConfigError(
            f"{source}: found no {'path' if equals else 'equals sign'}; "
            "allowed: path.to.field=value, such as training.batch_size=4"
        )
    return _assign(value, kind, path.split("."), new, source=source, path="$")


def _assign(
    value: object, kind: inspect.Type, keys: list[str], new: str, *, source: str, path: str
) -> object:
    """Return `value` with the part at `keys` replaced."""
    if not keys:
        return _read_value(new, kind, source=source, path=path)
    key, rest = keys[0], keys[1:]
    match _container(value, kind, source=source, path=path):
        case inspect.StructType() as struct:
            if isinstance(value, str):  # a name, which stands for an object
                if key == struct.tag_field:
                    _read_value(new, _tags(kind), source=source, path=path + step(key))
                raise ConfigError(
                    f"{source}: {path}: {found(value)}, which has no fields; override it as a whole"
                )
            fields = field_types(struct)
            if key not in fields:
                refuse_field(key, struct, source=source, path=path)
            part_kind = fields[key] if key != struct.tag_field else _tags(kind)
            section = dict(value) if isinstance(value, dict) else _new_section(struct)
            part = section[key] if key in section else _default(struct, key)
            part_path = path + step(key)
            section[key] = _assign(part, part_kind, rest, new, source=source, path=part_path)
            return section
        case inspect.DictType() as mapping:
            table = dict(value) if isinstance(value, dict) else {}
            part, part_path = table.get(key), path + step(key)
            table[key] = _assign(part, mapping.value_type, rest, new, source=source, path=part_path)
            return table
        case inspect.VarTupleType() | inspect.TupleType() as array:
            items = list(value) if isinstance(value, list | tuple) else []
            if not (key.isascii() and key.isdecimal()) or int(key) >= len(items):
                indices = f"0 to {len(items) - 1}" if items else "none, the array is empty"
                raise ConfigError(
                    f"{source}: {path}: unknown index {named(key)}; allowed: {indices}"
                )
            i, part_path = int(key), f"{path}[{key}]"
            if isinstance(array, inspect.VarTupleType):
                part_kind = array.item_type
            else:
                part_kind = array.item_types[i]
            items[i] = _assign(items[i], part_kind, rest, new, source=source, path=part_path)
            return items
        case _:
            raise ConfigError(
                f"{source}: {path}: found {named(key)} below it, but it has no fields; "
                f"allowed: {allowed(kind)}"
            )


def _container(value: object, kind: inspect.Type, *, source: str, path: str) -> inspect.Type | None:
    """Return the type with the parts that `value` has or may get, None where there are none."""
    structs = [member for member in _members(kind) if isinstance(member, inspect.StructType)]
    others = [
        member
        for member in _members(kind)
        if isinstance(member, inspect.DictType | inspect.VarTupleType | inspect.TupleType)
    ]
    if not structs and not others:
        return None
    if value is not None:
        expected = dict if structs or isinstance(others[0], inspect.DictType) else list | tuple
        if not isinstance(value, expected):  # a name may stand for an object
            check(value, kind, source=source, path=path)
    if not structs:
        return others[0]
    if isinstance(value, dict):
        return choose_struct(value, structs, source=source, path=path)
    return structs[0]


def _members(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    match kind:
        case inspect.Metadata():
            return _members(kind.type)
        case inspect.UnionType():
            return tuple(kind.types)
        case _:
            return (kind,)


def _tags(kind: inspect.Type) -> inspect.LiteralType:
    structs = (member for member in _members(kind) if isinstance(member, inspect.StructType))
    return inspect.LiteralType(tuple(struct.tag for struct in structs))


def _new_section(struct: inspect.StructType) -> dict[str, object]:
    return {} if struct.tag_field is None else {struct.tag_field: struct.tag}


def _default(struct: inspect.StructType, name: str) -> object:
    """Return the JSON value of a field that the file leaves out; None if it has no default."""
    for field in struct.fields:
        if field.encode_name == name and field.default is not NODEFAULT:
            return msgspec.to_builtins(field.default)
    return None


def _read_value(text: str, kind: inspect.Type, *, source: str, path: str) -> object:
    """Return the first reading of `text` that the type takes, else tell why it takes none."""
    errors: list[ConfigError] = []
    for reading in _readings(text):
        try:
            check(reading, kind, source=source, path=path)
        except ConfigError as error:
            errors.append(error)
        else:
            return reading
    raise errors[0]


def _readings(text: str) -> Iterator[object]:
    """Yield what a typed value may mean: JSON, a whole number (`1e5`), the text itself."""
    try:
        value = parse_json(text, source="override")
    except ConfigError:
        yield text
        return
    yield value
    if isinstance(value, float) and value.is_integer():
        yield int(value)
    yield text
