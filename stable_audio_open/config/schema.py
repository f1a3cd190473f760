"""The JSON Schema of native configuration files, for editors.

`python -m stable_audio_open.config.schema` writes `configs/schema.json` in the current directory.
"""

import ast
import inspect
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from msgspec.inspect import Metadata, StructType, Type, UnionType, VarTupleType

from stable_audio_open.config.curation import CurationConfig
from stable_audio_open.config.model import ModelConfig
from stable_audio_open.config.values.check import type_info

FileConfig = ModelConfig | CurationConfig
"""What a native file may hold."""
SCHEMA = Path("configs/schema.json")


def config_schema() -> dict[str, Any]:
    """Return the JSON Schema of a native file, with the field docstrings as descriptions."""
    (root,), definitions = msgspec.json.schema_components(
        [FileConfig], ref_template="#/$defs/{name}"
    )
    for definition in definitions.values():
        if "description" in definition:  # Python 3.13 strips the indentation itself
            text = inspect.cleandoc(definition["description"])
            definition["description"] = text.partition("\n\nRaises:")[0]
    for struct in struct_types(type_info(FileConfig)):
        properties = definitions[struct.__name__]["properties"]
        for name, text in field_docstrings(struct).items():
            properties[name]["description"] = text
    for file in root["anyOf"]:
        properties = definitions[file["$ref"].rpartition("/")[2]]["properties"]
        properties["$schema"] = {"type": "string", "description": "Where this schema is."}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of stable-audio-open",
        **root,
        "$defs": definitions,
    }


def encode_schema() -> bytes:
    """Return the schema as the text of `configs/schema.json`."""
    return (json.dumps(config_schema(), indent=2, ensure_ascii=False) + "\n").encode()


def struct_types(kind: Type) -> Iterator[type[msgspec.Struct]]:
    """Yield every struct class that a type is made of."""
    match kind:
        case StructType():
            yield kind.cls
            for field in kind.fields:
                yield from struct_types(field.type)
        case UnionType():
            for member in kind.types:
                yield from struct_types(member)
        case VarTupleType():
            yield from struct_types(kind.item_type)
        case Metadata():
            yield from struct_types(kind.type)
        case _:
            return


def field_docstrings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the docstring under each field, inherited ones too, by the name in the file."""
    encoded = {field.name: field.encode_name for field in msgspec.structs.fields(struct)}
    found: dict[str, str] = {}
    for kind in reversed(struct.__mro__):
        if kind is not msgspec.Struct and issubclass(kind, msgspec.Struct):
            found |= _own_docstrings(kind)
    return {encoded[name]: text for name, text in found.items()}


def _own_docstrings(struct: type[msgspec.Struct]) -> dict[str, str]:
    (definition,) = ast.parse(inspect.getsource(struct)).body
    assert isinstance(definition, ast.ClassDef)
    docstrings = {}
    for field, below in pairwise(definition.body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                docstrings[name] = inspect.cleandoc(text)
    return docstrings


if __name__ == "__main__":
    SCHEMA.write_bytes(encode_schema())
