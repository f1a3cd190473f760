"""The published small model's tensors: names, shapes and counts, without a download."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stable_audio_open.builders.model import build_model
from stable_audio_open.builders.text_encoder import text_encoder_skeleton
from stable_audio_open.checkpoint.source import TEXT_ENCODER
from stable_audio_open.checkpoint.stable_audio_tools import model_keys
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.read import read_config

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "configs/stable_audio_open_small/diffusion.json"
PUBLISHED = ROOT / "tests/config/small_model_config.json"


@pytest.fixture(scope="module", params=[SHIPPED, PUBLISHED], ids=["shipped", "published"])
def tensors(request: pytest.FixtureRequest) -> dict[str, Tensor]:
    """All tensors but T5's under the names of the published file, on the meta device."""
    config = read_config(request.param)
    assert isinstance(config, DiffusionModelConfig)
    with torch.device("meta"):
        model = build_model(config, text_encoder=text_encoder_skeleton("t5-base"))
    state = {k: v for k, v in model.state_dict().items() if not k.startswith(TEXT_ENCODER)}
    return model_keys(config).select(state).to_foreign(state)


def transformer_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Written down independently of the key map."""
    yield "timestep_features.weight", (128, 1)
    for name, first in (("timestep", 256), ("cond", 768), ("global", 768)):
        yield f"to_{name}_embed.0.weight", (1024, first)
        yield f"to_{name}_embed.2.weight", (1024, 1024)
    yield "to_timestep_embed.0.bias", (1024,)
    yield "to_timestep_embed.2.bias", (1024,)
    yield "preprocess_conv.weight", (64, 64, 1)
    yield "postprocess_conv.weight", (64, 64, 1)
    yield "transformer.project_in.weight", (1024, 64)
    yield "transformer.project_out.weight", (64, 1024)
    yield "transformer.rotary_pos_emb.inv_freq", (32,)
    for i in range(16):
        block = f"transformer.layers.{i}."
        for norm in ("pre_norm", "cross_attend_norm", "ff_norm"):
            yield block + norm + ".gamma", (1024,)
            yield block + norm + ".beta", (1024,)
        yield block + "self_attn.to_qkv.weight", (3072, 1024)
        yield block + "self_attn.to_out.weight", (1024, 1024)
        yield block + "cross_attn.to_q.weight", (1024, 1024)
        yield block + "cross_attn.to_kv.weight", (2048, 1024)
        yield block + "cross_attn.to_out.weight", (1024, 1024)
        for norm in ("self_attn.q", "self_attn.k", "cross_attn.q", "cross_attn.k"):
            yield block + norm + "_norm.weight", (128,)
            yield block + norm + "_norm.bias", (128,)
        yield block + "ff.ff.0.proj.weight", (8192, 1024)
        yield block + "ff.ff.0.proj.bias", (8192,)
        yield block + "ff.ff.2.weight", (1024, 4096)
        yield block + "ff.ff.2.bias", (1024,)


def test_names_and_shapes_are_the_published_ones(tensors: dict[str, Tensor]) -> None:
    expected = {f"model.model.{name}": shape for name, shape in transformer_shapes()}
    embedding = "conditioner.conditioners.seconds_total.embedder.embedding."
    expected |= {f"{embedding}0.weights": (128,), f"{embedding}1.weight": (768, 257)}
    expected |= {f"{embedding}1.bias": (768,)}
    found = {n: tuple(t.shape) for n, t in tensors.items() if not n.startswith("pretransform.")}
    assert found == expected


def test_counts_are_the_published_ones(tensors: dict[str, Tensor]) -> None:
    def count(*prefixes: str, leaving_out: str = "-") -> tuple[int, int]:
        chosen = {n: t for n, t in tensors.items() if n.startswith(prefixes)}
        chosen = {n: t for n, t in chosen.items() if not n.endswith(leaving_out)}
        return len(chosen), sum(math.prod(t.shape) for t in chosen.values())

    assert count("") == (750, 497_239_458)
    assert count("model.model.") == (382, 340_928_672)
    # The 32 rotary frequencies are computed, not trained.
    assert count("model.model.", "conditioner.", leaving_out="inv_freq") == (384, 341_126_912)
    assert count("pretransform.model.") == (365, 156_112_514)
