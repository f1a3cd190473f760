import copy
from typing import Any

import pytest
import torch
from msgspec.structs import replace

from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig


def test_autoencoder(autoencoder_config: AutoencoderModelConfig) -> None:
    model = build_autoencoder(autoencoder_config)
    assert (model.sample_rate, model.audio_channels, model.latent_channels) == (8000, 2, 7)
    assert (model.downsampling, model.scale, model.iterate_batch) == (8, 1.75, True)
    encoder: Any = model.encoder
    assert encoder.input.weight.shape[:2] == (3, 2)
    assert [block.downsample.stride for block in encoder.blocks] == [(4,), (2,)]
    assert [block.downsample.out_channels for block in encoder.blocks] == [6, 15]
    assert encoder.output.out_channels == 2 * 7
    decoder: Any = model.decoder
    assert decoder.input.weight.shape[:2] == (24, 7)
    # From the low rate to the full one.
    assert [block.upsample.stride for block in decoder.blocks] == [(4,), (2,)]
    assert [block.upsample.out_channels for block in decoder.blocks] == [6, 6]
    assert decoder.output.out_channels == 2
    assert decoder.final_tanh


def test_model(diffusion_config: DiffusionModelConfig, tiny_text_encoder: TextEncoder) -> None:
    model = build_model(diffusion_config, text_encoder=copied(tiny_text_encoder))
    assert (model.window_samples, model.window_frames) == (1024, 128)
    assert model.autoencoder.scale == 1.75
    conditioner: Any = model.conditioner
    assert conditioner.cross_attention == ("seconds_total", "prompt")
    assert conditioner.global_ == ("seconds_total", "seconds_start")
    text = conditioner.texts["prompt"]
    assert (text.max_length, text.trainable) == (6, True)
    assert text.tokenizer is tiny_text_encoder.tokenizer
    assert text.projection.weight.shape == (12, 24)
    ranges = {name: (own.minimum, own.maximum) for name, own in conditioner.numbers.items()}
    assert ranges == {"seconds_start": (1, 90), "seconds_total": (2, 80)}
    assert {own.projection.out_features for own in conditioner.numbers.values()} == {12}
    transformer: Any = model.transformer
    assert (transformer.latent_channels, len(transformer.blocks)) == (7, 3)
    assert transformer.input_projection.weight.shape == (48, 7)
    assert transformer.context_projection[0].in_features == 12
    assert transformer.global_projection[0].in_features == 24
    heads = {(part.heads, getattr(part, "key_value_heads", 1)) for part in attention(transformer)}
    assert heads == {(4, 1)}


def test_features_that_are_rotated(
    diffusion_config: DiffusionModelConfig, tiny_text_encoder: TextEncoder
) -> None:
    """Of 12 in a head: half of them, or as many as are given."""
    for rotated, built in ((None, 6), (10, 10), (12, 12)):
        transformer = replace(diffusion_config.transformer, rotated=rotated)
        config = replace(diffusion_config, transformer=transformer)
        model: Any = build_model(config, text_encoder=copied(tiny_text_encoder))
        assert 2 * model.transformer.rotary.inverse_frequencies.numel() == built


def attention(transformer: torch.nn.Module) -> list[Any]:
    return [part for part in transformer.modules() if hasattr(part, "heads")]


@pytest.mark.parametrize("trainable", [True, False])
def test_a_text_encoder_is_trained_on_request(
    diffusion_config: DiffusionModelConfig, tiny_text_encoder: TextEncoder, trainable: bool
) -> None:
    text, *numbers = diffusion_config.conditioning.conditioners
    changed = replace(text, trainable=trainable)
    conditioning = replace(diffusion_config.conditioning, conditioners=(changed, *numbers))
    config = replace(diffusion_config, conditioning=conditioning)
    model = build_model(config, text_encoder=copied(tiny_text_encoder))
    encoder: Any = model.conditioner.texts["prompt"]
    assert {p.requires_grad for p in encoder.encoder.parameters()} == {trainable}


def copied(given: TextEncoder) -> TextEncoder:
    """Copy: dropout would be on in what shares a trainable encoder."""
    return given._replace(encoder=copy.deepcopy(given.encoder))
