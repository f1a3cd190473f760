"""Mutated checkpoints of every layout, and adapters."""

import os
import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from fuzzing.child import UNTOUCHED, Case
from fuzzing.damage import damage
from fuzzing.json_damage import damage_json
from fuzzing.models import TEXT_ENCODER, Layout
from fuzzing.tensors import check_same, check_state, damage_tensors
from stable_audio_open.pretrained import load

MODEL, ADAPTER = "model", "adapter"
PICKLES = (".ckpt", ".pt", ".bin")
OTHERS = {TEXT_ENCODER, "tokenizer", "scheduler", "model_index.json"}
"""Files that other libraries read, or nobody."""
ALWAYS_REFUSED = ("constant", "twice", "deep")


class Checkpoints:
    """Small models in all layouts.

    Args:
        layouts: By name.
        adapter: Folder of an adapter of them.
    """

    def __init__(self, layouts: Mapping[str, Layout], adapter: Path) -> None:
        self.layouts = layouts
        self.adapter = adapter
        self.text_encoder = layouts["native"].folder / TEXT_ENCODER

    def draw(self, random: Random, folder: Path) -> Case:
        """Write one that is mutated."""
        if random.random() < 0.25:
            return self._draw_adapter(random, folder)
        name = random.choice(sorted(self.layouts))
        layout = self.layouts[name]
        shutil.copytree(layout.folder, folder / MODEL)
        target = partial(
            load_model,
            layout=layout,
            text_encoder=None if layout.has_text_encoder else self.text_encoder,
        )
        if random.random() < UNTOUCHED:
            return Case(
                words=f"{name}: as it was written",
                target=partial(target, same=True),
                answer="read",
            )
        files = [path for path in sorted((folder / MODEL).rglob("*")) if path.is_file()]
        weights = [path for path in files if path.suffix in (".safetensors", *PICKLES)]
        path = random.choice(weights if random.random() < 0.7 else files)
        words, refused, damaged = _damage_file(path, random, layout)
        return Case(
            words=f"{name}: {path.relative_to(folder / MODEL)}: {words}",
            target=partial(target, same=damaged and layout.is_trained),
            answer="refused" if refused else None,
        )

    def _draw_adapter(self, random: Random, folder: Path) -> Case:
        shutil.copytree(self.adapter, folder / ADAPTER)
        layout = self.layouts["native"]
        path = random.choice(sorted((folder / ADAPTER).iterdir()))
        words, refused, _ = _damage_file(path, random, layout)
        target = partial(merge, layout=layout)
        return Case(
            words=f"adapter: {path.name}: {words}",
            target=target,
            answer="refused" if refused else None,
        )


def _damage_file(path: Path, random: Random, layout: Layout) -> tuple[str, bool, bool]:
    """Mutate a file; return words, whether it must be refused, and whether bytes were damaged."""
    content = path.read_bytes()
    is_weights = path.suffix in (".safetensors", *PICKLES)
    if is_weights and random.random() < 0.6:
        return _damage_weights(path, random, layout)
    if path.suffix == ".json" and random.random() < 0.8:
        mutated = damage_json(content, random)
        path.write_bytes(mutated.text)
        read_by_us = not OTHERS & set(path.parts)
        return mutated.words, read_by_us and mutated.sort in ALWAYS_REFUSED, False
    if is_weights and random.random() < 0.2:
        path.unlink()
        if random.random() < 0.5:
            return "is left out", True, False
        os.mkfifo(path)
        return "is a named pipe", True, False
    damaged = damage(content, random)
    path.write_bytes(damaged.content)
    return damaged.words, damaged.is_cut and is_weights, True


def _damage_weights(path: Path, random: Random, layout: Layout) -> tuple[str, bool, bool]:
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            header: dict[str, str] | None = file.metadata()
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        if header and "config" in header and random.random() < 0.3:
            mutated = damage_json(header["config"].encode(), random)
            save_file(tensors, path, header | {"config": mutated.text.decode()})
            # Where the configuration lies beside the weights, that one counts.
            refused = mutated.sort in ALWAYS_REFUSED and not (path.parent / "config.json").is_file()
            return f"header: {mutated.words}", refused, False
        found = damage_tensors(tensors, random)
        save_file({k: v.contiguous() for k, v in found.tensors.items()}, path, header)
        return found.words, found.is_wrong, False
    content: dict[str, Any] = torch.load(path, weights_only=True)
    if random.random() < 0.3:
        words = _damage_header(content, random)
        torch.save(content, path)
        return words, False, False
    found = damage_tensors(content["state_dict"], random, pickled=True)
    torch.save(content | {"state_dict": found.tensors}, path)
    # What is averaged replaces what was trained, and losses and discriminators are not loaded.
    name = found.words.split()[0]
    averaged = any(one.startswith("ema.") for one in content["state_dict"])
    is_loaded = not layout.is_trained or (name.startswith("ema.") and averaged)
    return found.words, found.is_wrong and is_loaded, False


def _damage_header(content: dict[str, Any], random: Random) -> str:
    """Put something else in a place of what lies beside the tensors, or in that of all."""
    owner: Any = content
    path = "$"
    while isinstance(owner, dict) and owner:
        key = random.choice(sorted(owner, key=str))
        path = f"{path}.{key}"
        if not isinstance(owner[key], dict) or random.random() < 0.4:
            owner[key] = random.choice((None, 0, -1, 1.5, "x", [], {}, [1], {"a": 1}, True))
            return f"{path} is {owner[key]!r}"
        owner = owner[key]
    return "is as it was"


def load_model(folder: Path, *, layout: Layout, text_encoder: Path | None, same: bool) -> None:
    """Load a model, and check its tensors."""
    source = folder / MODEL / layout.source
    state = load(source, device="cpu", dtype="float32", text_encoder=text_encoder).state_dict()
    check_state(state, layout.state)
    if same:
        check_same(state, layout.state)


def merge(folder: Path, *, layout: Layout) -> None:
    """Load a model with the adapter, and check its tensors."""
    model = load(
        layout.folder / layout.source, device="cpu", dtype="float32", lora=[(folder / ADAPTER, 1.0)]
    )
    check_state(model.state_dict(), layout.state)
