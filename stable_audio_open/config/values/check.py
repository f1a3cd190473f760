"""JSON values against configuration types: the first fault is reported with its place and remedy.

msgspec's own messages lack the nearest name and the allowed ones, so the types are walked here;
msgspec then builds the structs and runs their `__post_init__`.
"""

import sys
from functools import cache
from itertools import islice
from typing import NoReturn

import msgspec
from msgspec import inspect

from stable_audio_open.arguments.nearest import did_you_mean, nearest
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.values.describe import allowed, found, named, quoted

_COMPARED = 1000
"""Names among which a mistyped one is looked for."""

type_info = cache(inspect.type_info)


def check(value: object, kind: inspect.Type, *, source: str, path: str = "$") -> None:
    """Check that a JSON `value` is of type `kind`.

    `source` (a file name) and `path` (a JSON path) start the message.

    Raises:
        ConfigError: A part is not; the first one is named.
    """
    match kind:
        case inspect.Metadata():
            check(value, kind.type, source=source, path=path)
            supported = (kind.extra or {}).get("supported")
            if supported is not None and value not in supported:
                refuse_value(value, kind, source=source, path=path)
        case inspect.UnionType():
            _check_union(value, kind, source=source, path=path)
        case inspect.StructType():
            _check_struct(value, kind, source=source, path=path)
        case inspect.VarTupleType() | inspect.TupleType():
            _check_array(value, kind, source=source, path=path)
        case inspect.DictType():
            if not isinstance(value, dict) or _outside(len(value), kind):
                refuse_value(value, kind, source=source, path=path)
            for name, part in value.items():
                check(part, kind.value_type, source=source, path=f"{path}{step(name)}")
        case _:
            if not _is_scalar_of(value, kind):
                refuse_value(value, kind, source=source, path=path)
    if isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{source}: {path}: {found(value)}; allowed: text without NUL")


def refuse_value(value: object, kind: inspect.Type, *, source: str, path: str) -> NoReturn:
    """Refuse a value that its type does not take.

    Raises:
        ConfigError: Always.
    """
    near = ""
    if isinstance(value, str):
        near = did_you_mean(value, [word for word in _words(kind) if isinstance(word, str)])
    raise ConfigError(f"{source}: {path}: {found(value)}; allowed: {allowed(kind)}{near}")


def refuse_field(name: str, struct: inspect.StructType, *, source: str, path: str) -> NoReturn:
    """Refuse a field that a struct does not have.

    Raises:
        ConfigError: Always.
    """
    names = list(field_types(struct))
    deeper = _find_below(name, struct)
    near = did_you_mean(name, names) or (f'; did you mean "{deeper}"?' if deeper else "")
    raise ConfigError(
        f"{source}: {path}: unknown field {named(name)}; allowed: {quoted(tuple(names))}{near}"
    )


def field_types(struct: inspect.StructType) -> dict[str, inspect.Type]:
    """Return the type of each field under its name in the file, the tag first."""
    fields: dict[str, inspect.Type] = {}
    if struct.tag_field is not None:
        fields[struct.tag_field] = inspect.LiteralType((struct.tag,))
    return fields | {field.encode_name: field.type for field in struct.fields}


def choose_struct(
    value: dict[str, object], structs: list[inspect.StructType], *, source: str, path: str
) -> inspect.StructType:
    """Return the struct whose tag the object carries.

    Raises:
        ConfigError: It carries none, or one that is unknown.
    """
    if structs[0].tag_field is None:
        (struct,) = structs
        return struct
    tag_field, by_tag = structs[0].tag_field, {struct.tag: struct for struct in structs}
    tags = inspect.LiteralType(tuple(by_tag))
    if tag_field not in value:
        typo = nearest(tag_field, islice(value, _COMPARED))
        if typo is not None and all(typo not in field_types(struct) for struct in structs):
            raise ConfigError(
                f'{source}: {path}: unknown field {named(typo)}; did you mean "{tag_field}"?'
            )
        _refuse_missing(tag_field, tags, source=source, path=path)
    tag = value[tag_field]
    if not isinstance(tag, str) or tag not in by_tag:
        refuse_value(tag, tags, source=source, path=f"{path}.{tag_field}")
    return by_tag[tag]


def step(name: str) -> str:
    """Return the JSON path step to a field: `.name`, or `["any name"]`."""
    is_plain = name.isidentifier() and len(name) <= 100
    return f".{name}" if is_plain else f"[{named(name)}]"


def _check_struct(value: object, kind: inspect.StructType, *, source: str, path: str) -> None:
    if not isinstance(value, dict):
        refuse_value(value, kind, source=source, path=path)
    choose_struct(value, [kind], source=source, path=path)
    fields = field_types(kind)
    for name in value:
        if name not in fields:
            refuse_field(name, kind, source=source, path=path)
    for field in kind.fields:
        if field.required and field.encode_name not in value:
            _refuse_missing(field.encode_name, field.type, source=source, path=path)
    for name, part in value.items():
        check(part, fields[name], source=source, path=f"{path}{step(name)}")
    try:
        msgspec.convert(value, kind.cls)
    except msgspec.ValidationError as error:  # the parts are right: only __post_init__ is left
        raise ConfigError(f"{source}: {path}: {error.__cause__ or error}") from error


def _check_union(value: object, kind: inspect.UnionType, *, source: str, path: str) -> None:
    if isinstance(value, dict):
        structs = [member for member in kind.types if isinstance(member, inspect.StructType)]
        if structs:
            struct = choose_struct(value, structs, source=source, path=path)
            return check(value, struct, source=source, path=path)
    containers = (inspect.VarTupleType, inspect.TupleType, inspect.DictType)
    for member in kind.types:
        if isinstance(value, dict | list | tuple) and isinstance(member, containers):
            return check(value, member, source=source, path=path)
    if not any(_is_scalar_of(value, member) for member in kind.types):
        refuse_value(value, kind, source=source, path=path)
    return None


def _check_array(
    value: object, kind: inspect.VarTupleType | inspect.TupleType, *, source: str, path: str
) -> None:
    if not isinstance(value, list | tuple):
        refuse_value(value, kind, source=source, path=path)
    if isinstance(kind, inspect.TupleType):
        types = list(kind.item_types)
        fits = len(value) == len(types)
    else:
        types = [kind.item_type] * len(value)
        fits = not _outside(len(value), kind)
    if not fits:
        refuse_value(value, kind, source=source, path=path)
    for index, (part, item_type) in enumerate(zip(value, types, strict=True)):
        check(part, item_type, source=source, path=f"{path}[{index}]")


def _find_below(name: str, kind: inspect.Type) -> str | None:
    """Return the path of the first field of this name in a section of the struct."""
    match kind:
        case inspect.StructType():
            for field in kind.fields:
                below = _find_below(name, field.type)
                if field.encode_name == name or below is not None:
                    return field.encode_name if below is None else f"{field.encode_name}.{below}"
        case inspect.UnionType():
            found_below = (_find_below(name, member) for member in kind.types)
            return next((path for path in found_below if path is not None), None)
    return None


def _refuse_missing(name: str, kind: inspect.Type, *, source: str, path: str) -> NoReturn:
    raise ConfigError(f'{source}: {path}: missing field "{name}"; allowed: {allowed(kind)}')


def _is_scalar_of(value: object, kind: inspect.Type) -> bool:
    match kind:
        case inspect.IntType():
            return type(value) is int and _within(value, kind)
        case inspect.FloatType():
            if not isinstance(value, int | float) or isinstance(value, bool):
                return False
            return abs(value) <= sys.float_info.max and _within(value, kind)
        case inspect.StrType():
            return isinstance(value, str) and not _outside(len(value), kind)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.NoneType():
            return value is None
        case inspect.LiteralType():
            return any(type(value) is type(word) and value == word for word in kind.values)
        case _:
            return isinstance(kind, inspect.AnyType)


def _within(value: float, kind: inspect.IntType | inspect.FloatType) -> bool:
    return (
        (kind.gt is None or value > kind.gt)
        and (kind.ge is None or value >= kind.ge)
        and (kind.lt is None or value < kind.lt)
        and (kind.le is None or value <= kind.le)
        and (kind.multiple_of is None or value % kind.multiple_of == 0)
    )


def _outside(length: int, kind: inspect.VarTupleType | inspect.DictType | inspect.StrType) -> bool:
    return length < (kind.min_length or 0) or (
        kind.max_length is not None and length > kind.max_length
    )


def _words(kind: inspect.Type) -> tuple[object, ...]:
    match kind:
        case inspect.Metadata(extra={"supported": values}):
            return tuple(values)
        case inspect.LiteralType():
            return tuple(kind.values)
        case inspect.UnionType():
            return tuple(word for member in kind.types for word in _words(member))
        case _:
            return ()
