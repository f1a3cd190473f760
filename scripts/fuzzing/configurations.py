"""Mutated configurations: native ones, curations, and those of stable-audio-tools."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import msgspec
import torch

from fuzzing.child import UNTOUCHED, Case, SilentLoadError
from fuzzing.damage import damage
from fuzzing.json_damage import EXTREMES, damage_json
from stable_audio_open.builders.model import build_transformer
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.read import decode_config, encode_config, read_config, read_curation
from stable_audio_open.config.stable_audio_tools import to_stable_audio_tools
from stable_audio_open.pretrained_autoencoder import public_autoencoder

CONFIGS = Path(__file__).parents[2] / "configs"
NAME = "config.json"
ALWAYS_REFUSED = ("constant", "twice", "deep")
REFUSED = (*ALWAYS_REFUSED, "type", "extra")
"""In our own files, where every field is known."""


class Configurations:
    """All shipped configurations."""

    def __init__(self) -> None:
        self.native: list[bytes] = []
        self.curations: list[bytes] = []
        self.foreign: list[bytes] = []
        for path in sorted(CONFIGS.rglob("*.json")):
            if path.name == "schema.json":
                continue
            content = path.read_bytes()
            if json.loads(content)["type"] == "curation":
                self.curations.append(content)
                continue
            self.native.append(content)
            try:
                value = to_stable_audio_tools(read_config(path))
            except ConfigError:  # what their layout does not have
                continue
            self.foreign.append(json.dumps(value).encode())

    def draw(self, random: Random, folder: Path) -> Case:
        """Write one that is mutated."""
        originals = random.choice((self.native, self.native, self.native, self.foreign))
        target: Callable[[Path], None] = partial(read_again, overrides=())
        if random.random() < 0.15:
            originals, target = self.curations, read_curation_again
        content = random.choice(originals)
        own = originals is not self.foreign
        path = folder / NAME
        if random.random() < UNTOUCHED:
            path.write_bytes(content)
            return Case(words="as it was written", target=target, answer="read")
        if random.random() < 0.25:
            damaged = damage(content, random)
            path.write_bytes(damaged.content)
            lost = damaged.is_cut and len(damaged.content) < len(content.rstrip())
            return Case(words=damaged.words, target=target, answer="refused" if lost else None)
        if own and originals is self.native and random.random() < 0.2:
            path.write_bytes(content)
            override = _override(json.loads(content), random)
            return Case(
                words=f"override {override[:80]!r}",
                target=partial(read_again, overrides=(override,)),
            )
        mutated = damage_json(content, random)
        path.write_bytes(mutated.text)
        refused = mutated.sort in (REFUSED if own else ALWAYS_REFUSED)
        return Case(words=mutated.words, target=target, answer="refused" if refused else None)


def _override(value: object, random: Random) -> str:
    names: list[str] = []
    while isinstance(value, dict) and (not names or random.random() < 0.8):
        names.append(random.choice(list(value)))
        value = value[names[-1]]
    if random.random() < 0.2:
        names.append(random.choice(("zz", "0", "-1", "99999999999", "", "a.b", "=")))
    return f"{'.'.join(names)}={json.dumps(random.choice(EXTREMES))}"


def read_again(folder: Path, *, overrides: tuple[str, ...]) -> None:
    """Read a configuration, write and read it again, and build its model without memory."""
    path = folder / NAME
    config = read_config(path, overrides)
    text = encode_config(config)
    if decode_config(text, source=str(path)) != config:
        raise SilentLoadError("is another configuration when it is written and read again")
    with torch.device("meta"):
        public_autoencoder(config)
        if isinstance(config, DiffusionModelConfig):
            build_transformer(config.transformer)


def read_curation_again(folder: Path) -> None:
    """Read the configuration of a curation, and write and read it again."""
    path = folder / NAME
    config = read_curation(path)
    again = folder / "again.json"
    again.write_bytes(msgspec.json.encode(config))
    if read_curation(again) != config:
        raise SilentLoadError("is another curation when it is written and read again")
