"""Values and types in the words of an error message."""

import json

from msgspec import inspect

_LONGEST, _LONGEST_NAME = 60, 100


def found(value: object) -> str:
    """Describe a JSON value on one short line: `found "four"`, `found an array of 3`."""
    if isinstance(value, dict):
        return "found an object"
    if isinstance(value, list | tuple):
        return f"found an array of {len(value)}"
    return f"found {_cut(json.dumps(value, ensure_ascii=False), _LONGEST)}"


def named(name: str) -> str:
    """Quote a name that a file or a person gave, however long it is, in at most 100 characters."""
    return _cut(json.dumps(name, ensure_ascii=False), _LONGEST_NAME)


def allowed(kind: inspect.Type) -> str:
    """Describe what a type takes: `an integer >= 1`, `"t5", "number"`, `an object or null`."""
    match kind:
        case inspect.Metadata(extra={"supported": values}):
            return quoted(values)
        case inspect.Metadata():
            return allowed(kind.type)
        case inspect.IntType():
            return "an integer" + _bounds(kind)
        case inspect.FloatType():
            return "a number" + _bounds(kind)
        case inspect.StrType():
            return "a non-empty string" if kind.min_length else "a string"
        case inspect.BoolType():
            return "true or false"
        case inspect.NoneType():
            return "null"
        case inspect.LiteralType():
            return quoted(kind.values)
        case inspect.TupleType():
            return f"an array of {len(kind.item_types)}"
        case inspect.VarTupleType():
            if kind.max_length == 0:
                return "an empty array"
            return "a non-empty array" if kind.min_length else "an array"
        case inspect.DictType():
            return "an empty object" if kind.max_length == 0 else "an object"
        case inspect.UnionType():
            return " or ".join(dict.fromkeys(allowed(member) for member in kind.types))
        case _:
            return "an object" if isinstance(kind, inspect.StructType) else "any value"


def quoted(values: tuple[object, ...]) -> str:
    """Join values as JSON writes them: `"t5", "number"`."""
    return ", ".join(json.dumps(value, ensure_ascii=False) for value in values)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _bounds(kind: inspect.IntType | inspect.FloatType) -> str:
    limits = {">": kind.gt, ">=": kind.ge, "<": kind.lt, "<=": kind.le}
    text = " and".join(
        f" {sign} {limit if isinstance(limit, int) else f'{limit:g}'}"
        for sign, limit in limits.items()
        if limit is not None
    )
    return text + (f" that is a multiple of {kind.multiple_of}" if kind.multiple_of else "")
