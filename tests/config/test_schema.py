import json
from pathlib import Path

import pytest
from msgspec.structs import fields

from stable_audio_open.config.schema import (
    FileConfig,
    config_schema,
    encode_schema,
    field_docstrings,
    struct_types,
)
from stable_audio_open.config.values.check import type_info

COMMITTED = Path(__file__).parents[2] / "configs/schema.json"
STRUCTS = sorted(set(struct_types(type_info(FileConfig))), key=lambda struct: struct.__name__)

SCHEMA = config_schema()


def test_committed_schema_is_current() -> None:
    assert COMMITTED.read_bytes() == encode_schema(), (
        "run `python -m stable_audio_open.config.schema` at the top of the repository"
    )


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_field_explains_itself(struct: type) -> None:
    names = {field.encode_name for field in fields(struct)}
    assert set(field_docstrings(struct)) == names
    properties = SCHEMA["$defs"][struct.__name__]["properties"]
    for name in names:
        assert properties[name]["description"].endswith((".", ")"))


def test_every_object_refuses_unknown_fields_and_only_files_name_their_schema() -> None:
    for definition in SCHEMA["$defs"].values():
        assert definition["additionalProperties"] is False
    files = {file["$ref"].rpartition("/")[2] for file in SCHEMA["anyOf"]}
    with_schema = {
        name for name, part in SCHEMA["$defs"].items() if "$schema" in part["properties"]
    }
    assert with_schema == files
    assert files == {"AutoencoderModelConfig", "DiffusionModelConfig", "CurationConfig"}


def test_constraints_reach_the_schema() -> None:
    definitions = json.loads(COMMITTED.read_bytes())["$defs"]
    precision = definitions["TrainerConfig"]["properties"]["precision"]
    assert precision["enum"] == ["32-true", "bf16-mixed"]
    assert definitions["AdamWConfig"]["properties"]["lr"]["exclusiveMinimum"] == 0
    assert "global" in definitions["ConditioningConfig"]["required"]
