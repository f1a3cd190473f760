"""The published model's tensors: names, shapes and counts, without a download."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.model import build_model
from stable_audio_open.builders.text_encoder import text_encoder_skeleton
from stable_audio_open.checkpoint import stable_audio_tools
from stable_audio_open.checkpoint.diffusers import layout as diffusers
from stable_audio_open.checkpoint.source import TEXT_ENCODER
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.read import read_config

CONFIGS = Path(__file__).parents[2] / "configs/stable_audio_open_1_0"


@pytest.fixture(scope="module")
def native() -> dict[str, Tensor]:
    """The published model's tensors under our names, without T5, on the meta device."""
    config = read_config(CONFIGS / "diffusion.json")
    assert isinstance(config, DiffusionModelConfig)
    skeleton = text_encoder_skeleton("t5-base")
    with torch.device("meta"):
        model = build_model(config, text_encoder=skeleton)
    return {k: v for k, v in model.state_dict().items() if not k.startswith(TEXT_ENCODER)}


@pytest.fixture(scope="module")
def published(native: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under the names of the published file."""
    keys = stable_audio_tools.model_keys(read_config(CONFIGS / "diffusion.json"))
    return keys.select(native).to_foreign(native)


def numbers(tensors: dict[str, Tensor], prefix: str = "") -> int:
    return sum(math.prod(t.shape) for name, t in tensors.items() if name.startswith(prefix))


def transformer_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """The list of model.safetensors, written down independently of the key map."""
    yield "timestep_features.weight", (128, 1)
    yield "to_timestep_embed.0.weight", (1536, 256)
    yield "to_timestep_embed.0.bias", (1536,)
    yield "to_timestep_embed.2.weight", (1536, 1536)
    yield "to_timestep_embed.2.bias", (1536,)
    for layer in (0, 2):
        yield f"to_cond_embed.{layer}.weight", (768, 768)
        yield f"to_global_embed.{layer}.weight", (1536, 1536)
    yield "preprocess_conv.weight", (64, 64, 1)
    yield "postprocess_conv.weight", (64, 64, 1)
    yield "transformer.project_in.weight", (1536, 64)
    yield "transformer.project_out.weight", (64, 1536)
    yield "transformer.rotary_pos_emb.inv_freq", (16,)
    for i in range(24):
        block = f"transformer.layers.{i}."
        for norm in ("pre_norm", "cross_attend_norm", "ff_norm"):
            yield block + norm + ".gamma", (1536,)
            yield block + norm + ".beta", (1536,)
        yield block + "self_attn.to_qkv.weight", (4608, 1536)
        yield block + "self_attn.to_out.weight", (1536, 1536)
        yield block + "cross_attn.to_q.weight", (1536, 1536)
        yield block + "cross_attn.to_kv.weight", (1536, 768)
        yield block + "cross_attn.to_out.weight", (1536, 1536)
        yield block + "ff.ff.0.proj.weight", (12288, 1536)
        yield block + "ff.ff.0.proj.bias", (12288,)
        yield block + "ff.ff.2.weight", (1536, 6144)
        yield block + "ff.ff.2.bias", (1536,)


def convolution(
    name: str, first: int, second: int, kernel: int, outputs: int | None
) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name + ".weight_g", (first, 1, 1)
    yield name + ".weight_v", (first, second, kernel)
    if outputs is not None:
        yield name + ".bias", (outputs,)


def snake(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield name + ".alpha", (channels,)
    yield name + ".beta", (channels,)


def unit(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield from snake(name + ".layers.0", channels)
    yield from convolution(name + ".layers.1", channels, channels, 7, channels)
    yield from snake(name + ".layers.2", channels)
    yield from convolution(name + ".layers.3", channels, channels, 1, channels)


def autoencoder_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    widths, strides = [128, 128, 256, 512, 1024, 2048], [2, 4, 4, 8, 8]
    yield from convolution("encoder.layers.0", 128, 2, 7, 128)
    for b in range(5):
        narrow, wide, stride = widths[b], widths[b + 1], strides[b]
        block = f"encoder.layers.{b + 1}.layers"
        for u in range(3):
            yield from unit(f"{block}.{u}", narrow)
        yield from snake(f"{block}.3", narrow)
        yield from convolution(f"{block}.4", wide, narrow, 2 * stride, wide)
    yield from snake("encoder.layers.6", 2048)
    yield from convolution("encoder.layers.7", 128, 2048, 3, 128)
    yield from convolution("decoder.layers.0", 2048, 64, 7, 2048)
    for b in range(5):
        wide, narrow, stride = widths[5 - b], widths[4 - b], strides[4 - b]
        block = f"decoder.layers.{b + 1}.layers"
        yield from snake(f"{block}.0", wide)
        yield from convolution(f"{block}.1", wide, narrow, 2 * stride, narrow)
        for u in range(2, 5):
            yield from unit(f"{block}.{u}", narrow)
    yield from snake("decoder.layers.6", 128)
    yield from convolution("decoder.layers.7", 2, 128, 7, None)


def conditioner_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    for name in ("seconds_start", "seconds_total"):
        embedding = f"conditioners.{name}.embedder.embedding."
        yield embedding + "0.weights", (128,)
        yield embedding + "1.weight", (768, 257)
        yield embedding + "1.bias", (768,)


def test_names_and_shapes_are_the_published_ones(published: dict[str, Tensor]) -> None:
    expected = {f"model.model.{name}": shape for name, shape in transformer_shapes()}
    expected |= {f"pretransform.model.{name}": shape for name, shape in autoencoder_shapes()}
    expected |= {f"conditioner.{name}": shape for name, shape in conditioner_shapes()}
    assert {name: tuple(tensor.shape) for name, tensor in published.items()} == expected


def test_counts_are_the_published_ones(published: dict[str, Tensor]) -> None:
    def tensors(prefix: str) -> int:
        return sum(name.startswith(prefix) for name in published)

    assert (len(published), numbers(published)) == (745, 1_213_448_210)
    assert (tensors("model.model."), numbers(published, "model.model.")) == (374, 1_056_939_152)
    assert tensors("pretransform.model.") == 365
    assert numbers(published, "pretransform.model.") == 156_112_514
    assert numbers(published, "pretransform.model.encoder.") == 77_989_888
    assert numbers(published, "pretransform.model.decoder.") == 78_122_626
    assert (tensors("conditioner."), numbers(published, "conditioner.")) == (6, 396_544)
    buffers = [n for n in published if re.search(r"norm\.beta$|inv_freq$", n)]
    assert sum(published[name].numel() for name in buffers) == 110_608


def test_the_map_is_one_to_one_and_comes_back(
    native: dict[str, Tensor], published: dict[str, Tensor]
) -> None:
    keys = stable_audio_tools.model_keys(read_config(CONFIGS / "diffusion.json")).select(native)
    back = keys.to_native(published)
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in native.items()}


def test_the_autoencoder_alone_has_the_same_names_without_the_prefix(
    published: dict[str, Tensor],
) -> None:
    config = read_config(CONFIGS / "autoencoder.json")
    assert isinstance(config, AutoencoderModelConfig)
    with torch.device("meta"):
        state = build_autoencoder(config).state_dict()
    names = set(stable_audio_tools.model_keys(config).select(state).to_foreign(state))
    prefix = "pretransform.model."
    assert names == {n.removeprefix(prefix) for n in published if n.startswith(prefix)}


def test_diffusers_holds_the_same_numbers_but_for_the_rotary_buffer(
    native: dict[str, Tensor],
) -> None:
    config = read_config(CONFIGS / "diffusion.json")
    assert isinstance(config, DiffusionModelConfig)
    keys = diffusers.pipeline_keys(config).select(native)
    assert numbers(keys.to_foreign(native)) == 1_213_448_210 - 16
    assert set(keys.computed) == {"transformer.rotary.inverse_frequencies"}


@pytest.mark.parametrize("name", ["t5-base", "google-t5/t5-base"])
def test_the_size_of_t5_base_needs_no_download(name: str) -> None:
    encoder = text_encoder_skeleton(name).encoder
    assert sum(p.numel() for p in encoder.parameters()) == 109_628_544
    assert all(p.is_meta for p in encoder.parameters())


def test_the_size_of_an_unknown_text_encoder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the size of the text encoder 'nobody/nothing' is unkn"):
        text_encoder_skeleton("nobody/nothing")
