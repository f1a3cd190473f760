"""Audio models of a curation, named in one grammar or as objects of earlier versions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stable_audio_open.builders.curation import build_embedder, build_tagger, model_name
from stable_audio_open.config.curation import (
    CurationConfig,
    MusicConfig,
    MusicnnConfig,
    NearCopiesConfig,
)
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.read import read_curation
from tests.needs import needs_musicnn

SHIPPED = Path(__file__).parents[2] / "configs" / "curation" / "sonic_pi.json"


@pytest.fixture
def read(tmp_path: Path) -> Callable[[object, object], CurationConfig]:
    """Read a curation with this tagger and this embedder."""

    def configured(tagger: object, embedder: object) -> CurationConfig:
        path = tmp_path / "curation.json"
        placed = {"device": "cuda"} if isinstance(embedder, str) else {}
        content = {
            "type": "curation",
            "name": "x",
            "audio": "audio",
            "output": "out",
            "sources": [{"type": "folder"}],
            "music": {"tagger": tagger, "device": "cpu"},
            "duplicates": {"near": {"embedder": embedder, "threshold": 0.9, **placed}},
        }
        path.write_text(json.dumps(content))
        return read_curation(path, ())

    return configured


@pytest.mark.parametrize(
    ("tagger", "embedder", "expected"),
    [
        (
            {"type": "panns", "path": "P.pth", "device": "cuda"},
            {"type": "clap", "path": "C"},
            [("panns:P.pth", "cuda"), ("clap:C", "cpu")],
        ),
        (
            {"type": "musicnn"},
            {"type": "musicnn", "weights": "MSD_musicnn"},
            [("musicnn:MTT_musicnn", "cpu"), ("musicnn:MSD_musicnn", "cpu")],
        ),
        ("panns:P.pth", "log-mel", [("panns:P.pth", "cpu"), ("log-mel", "cuda")]),
    ],
)
def test_objects_of_earlier_versions_stand_for_names(
    read: Callable[[object, object], CurationConfig],
    tagger: object,
    embedder: object,
    expected: list[tuple[str, str]],
) -> None:
    config: Any = read(tagger, embedder)
    music, near = config.music, config.duplicates.near
    found = [
        model_name(music.tagger, music.device),
        model_name(near.embedder, near.device),
    ]
    assert found == expected


def test_mistakes_list_what_is_allowed(read: Callable[[object, object], CurationConfig]) -> None:
    with pytest.raises(ValueError, match=r"^no tagger 'yamnet'; allowed: panns:PATH, musicnn"):
        build_tagger(MusicConfig(tagger="yamnet"))
    with pytest.raises(ValueError, match=r"^no embedder 'panns'; allowed: clap:FOLDER"):
        build_embedder(NearCopiesConfig(embedder="panns", threshold=0.9))
    with pytest.raises(ConfigError, match=r'\$\.music\.tagger\.type: found "yamnet"; allowed'):
        read({"type": "yamnet"}, "musicnn")
    with pytest.raises(ConfigError, match=r"\$\.music\.tagger: found 3; allowed: "):
        read(3, "musicnn")


@needs_musicnn
def test_both_grammars_build_the_same() -> None:
    shipped = json.loads(SHIPPED.read_text())["music"]["tagger"]
    named = build_tagger(MusicConfig(tagger=shipped))
    before = read_music({"type": "musicnn", "weights": "MTT_musicnn"})
    assert named.name == build_tagger(before).name


def read_music(tagger: dict[str, str]) -> MusicConfig:
    """Return the part of a configuration as msgspec reads it."""
    return msgspec.convert({"tagger": tagger}, MusicConfig)


def test_an_object_has_its_device_inside(read: Callable[[object, object], CurationConfig]) -> None:
    own = MusicnnConfig(weights="MSD_musicnn", device="cuda")
    assert model_name(MusicConfig(tagger=own).tagger, "cpu") == ("musicnn:MSD_musicnn", "cuda")
    message = "`device` is for a `tagger` that is given by name; give 'cuda' inside `tagger`"
    with pytest.raises(ValueError, match=message):
        MusicConfig(tagger=own, device="cuda")
    with pytest.raises(ValueError, match=r"`device` is for a `embedder`"):
        NearCopiesConfig(embedder=own, device="cuda", threshold=0.5)


@pytest.mark.parametrize(
    "override",
    ["music.tagger.weights=MSD_musicnn", "music.tagger.type=musicnn", "music.tagger.device=cuda"],
)
def test_nothing_lies_below_a_name(override: str) -> None:
    message = r'\$\.music\.tagger: found "musicnn:MTT_musicnn", which has no fields; override'
    with pytest.raises(ConfigError, match=message):
        read_curation(SHIPPED, (override,))
    changed = ("music.tagger=musicnn:MSD_musicnn", "music.device=cuda")
    music: Any = read_curation(SHIPPED, changed).music
    assert (music.tagger, music.device) == ("musicnn:MSD_musicnn", "cuda")
