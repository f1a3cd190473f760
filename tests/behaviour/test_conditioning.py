"""Behaviours 3 and 5 to 7: seconds, prompts, and the tokens that cross-attention sees."""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stable_audio_open.builders.model import TextEncoder, build_conditioner
from stable_audio_open.conditioning.conditioner import Conditioner
from stable_audio_open.conditioning.number import NumberConditioner
from stable_audio_open.conditioning.text import TextConditioner
from stable_audio_open.conditions import Conditioning
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.nn.attention import CrossAttention

pytestmark = pytest.mark.numerical

PROMPTS = ["deep kick drum", "bell", "soft warm long bass with bell"]
LENGTHS = [4, 2, 7]  # words and the end of the text


def test_03_number_is_clamped_scaled_and_turned_into_sines_then_cosines(
    randomise: Callable[..., None],
) -> None:
    conditioner = NumberConditioner(width=5, minimum=0, maximum=512, frequencies=6)
    randomise(conditioner)
    numbers = [-3.0, 0.0, 47.5, 300.25, 512.0, 600.0]
    condition = conditioner(conditioner.prepare(numbers))
    assert condition.tokens.shape == (6, 1, 5)
    assert condition.mask.all()
    for number, token in zip(numbers, condition.tokens, strict=True):
        x = min(max(number, 0), 512) / 512
        angles = [2 * math.pi * x * w for w in conditioner.features.weight.tolist()]
        features = [x, *map(math.sin, angles), *map(math.cos, angles)]
        expected = torch.tensor(features, dtype=torch.float64) @ conditioner.projection.weight.T
        torch.testing.assert_close(token[0], expected + conditioner.projection.bias)


def test_03_published_numbers_have_257_features_of_0_to_512(
    published: DiffusionModelConfig,
) -> None:
    conditioner = published_conditioner(published)
    for name in ("seconds_start", "seconds_total"):
        number = conditioner.numbers[name]
        assert isinstance(number, NumberConditioner)
        assert number.projection.weight.shape == (768, 257)
        assert (number.minimum, number.maximum) == (0, 512)


@pytest.mark.parametrize("width", [24, 7])
def test_05_t5_sees_the_mask_and_rows_of_padding_are_zero(
    tiny_text_encoder: TextEncoder, randomise: Callable[..., None], width: int
) -> None:
    conditioner = TextConditioner(
        tokenizer=tiny_text_encoder.tokenizer,
        encoder=tiny_text_encoder.encoder,
        encoder_width=24,
        width=width,
        max_length=12,
    )
    if conditioner.projection is not None:
        nn.init.normal_(conditioner.projection.bias, generator=torch.Generator().manual_seed(0))
    tokens = conditioner.prepare(PROMPTS)
    assert tokens.ids.shape == (3, 12)
    assert tokens.mask.sum(dim=1).tolist() == LENGTHS
    rows = conditioner(tokens).tokens
    for ids, row, length in zip(tokens.ids, rows, LENGTHS, strict=True):
        # The same prompt without any padding: only a masked T5 gives the same.
        alone = conditioner.encoder(input_ids=ids[None, :length]).last_hidden_state[0]
        if conditioner.projection is not None:
            alone = conditioner.projection(alone)
        torch.testing.assert_close(row[:length], alone)
        assert row[length:].count_nonzero() == 0


def test_05_prompts_are_padded_and_cut_to_128_tokens(published: DiffusionModelConfig) -> None:
    conditioner = published_conditioner(published).texts["prompt"]
    assert isinstance(conditioner, TextConditioner)
    assert conditioner.prepare(["kick"]).ids.shape == (1, 128)
    assert conditioner.prepare([" ".join(["kick"] * 500)]).ids.shape == (1, 128)


class FakeT5(nn.Module):
    """A row per token, never zero."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = nn.Embedding(100, 768)

    def forward(self, *, input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.rows(input_ids))


def tokenise(text: list[str], **settings: Any) -> dict[str, Tensor]:
    """A token per word, numbered by its length; neither padded nor cut unless asked for."""
    longest = max(len(prompt.split()) for prompt in text)
    length = settings["max_length"] if settings.get("padding") == "max_length" else longest
    assert settings.get("truncation", False) or length >= longest
    ids = torch.zeros(len(text), length, dtype=torch.long)
    for row, prompt in zip(ids, text, strict=True):
        words = torch.tensor([len(word) for word in prompt.split()])[: len(row)]
        row[: len(words)] = words
    return {"input_ids": ids, "attention_mask": (ids > 0).long()}


def published_conditioner(published: DiffusionModelConfig) -> Conditioner:
    encoder = TextEncoder(tokenise, FakeT5(), 768)
    return build_conditioner(published.conditioning, text_encoder=encoder)


def test_06_context_is_128_text_tokens_then_seconds_start_then_seconds_total(
    published: DiffusionModelConfig,
) -> None:
    conditioner = published_conditioner(published)
    numbers = {"seconds_start": 3, "seconds_total": 20}
    prepared = conditioner.prepare([{"prompt": prompt, **numbers} for prompt in PROMPTS])
    found = conditioner(prepared)
    assert found.cross.shape == (3, 130, 768)
    text = conditioner.texts["prompt"](prepared.texts["prompt"])
    assert torch.equal(found.cross[:, :128], text.tokens)
    assert text.tokens[1, 0].all()
    assert text.tokens[1, 1:].count_nonzero() == 0
    for position, name in ((128, "seconds_start"), (129, "seconds_total")):
        number = conditioner.numbers[name](prepared.numbers[name])
        assert torch.equal(found.cross[:, position], number.tokens[:, 0])


def test_07_global_is_seconds_start_then_seconds_total(published: DiffusionModelConfig) -> None:
    conditioner = published_conditioner(published)
    numbers = {"seconds_start": 3, "seconds_total": 20}
    prepared = conditioner.prepare([{"prompt": "kick", **numbers}])
    start, total = (
        conditioner.numbers[name](prepared.numbers[name]).tokens[:, 0]
        for name in ("seconds_start", "seconds_total")
    )
    assert (start - total).abs().min() > 0
    assert torch.equal(conditioner(prepared).global_, torch.cat((start, total), dim=1))


def test_06_padding_takes_part_in_the_softmax_with_zero_key_and_value(
    randomise: Callable[..., None],
) -> None:
    attention = CrossAttention(width=32, heads=4, context_width=16)
    randomise(attention)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 5, 32, generator=generator, dtype=torch.float64)
    context = torch.randn(1, 9, 16, generator=generator, dtype=torch.float64)
    real, padding = [0, 1, 2, 7, 8], 4
    padded = context.clone()
    padded[:, 3:7] = 0
    query = (x[0] @ attention.query.weight.T).reshape(5, 4, 8)
    key, value = (context[0, real] @ attention.key_value.weight.T).reshape(5, 2, 2, 8).unbind(1)
    heads = []
    for head in range(4):
        weights = (query[:, head] @ key[:, head // 2].T / math.sqrt(8)).exp()
        # exp(0) = 1 for each row of padding below the line, and 0 above it.
        heads.append(weights @ value[:, head // 2] / (weights.sum(1, keepdim=True) + padding))
    expected = torch.cat(heads, dim=1) @ attention.output.weight.T
    torch.testing.assert_close(attention(x, attention.project(padded))[0], expected)
    dropped = attention(x, attention.project(context[:, real]))[0]
    assert (dropped - expected).abs().max() > 0.01


def test_06_zero_rows_stay_zero_up_to_keys_and_values(randomise: Callable[..., None]) -> None:
    transformer = DiffusionTransformer(
        latent_channels=4, width=32, depth=2, heads=4, context_width=16, global_width=8
    )
    randomise(transformer)
    generator = torch.Generator().manual_seed(0)
    cross = torch.randn(2, 6, 16, generator=generator, dtype=torch.float64)
    cross[0, 2:5] = 0
    projected = transformer.project(Conditioning(cross, torch.ones(2, 8).double()), frames=3)
    assert len(projected.context) == 2
    for key, value in projected.context:
        for rows in (key, value):
            assert rows[0, :, 2:5].count_nonzero() == 0
            assert rows[0, :, [0, 1, 5]].all()
            assert rows[1].all()


def test_06_context_is_projected_by_two_layers_without_bias(
    randomise: Callable[..., None],
) -> None:
    transformer = DiffusionTransformer(
        latent_channels=4, width=32, depth=1, heads=4, context_width=16, global_width=8
    )
    randomise(transformer)
    cross = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(0)).double()
    stored = transformer.state_dict()
    hidden = cross @ stored["context_projection.0.weight"].T
    context = hidden / (1 + (-hidden).exp()) @ stored["context_projection.2.weight"].T
    key_value = stored["blocks.0.cross_attention.key_value.weight"]
    expected = (context @ key_value.T).reshape(2, 6, 2, 2, 8)
    ((key, value),) = transformer.project(
        Conditioning(cross, torch.ones(2, 8).double()), frames=3
    ).context
    torch.testing.assert_close(key, expected[:, :, 0].transpose(1, 2))
    torch.testing.assert_close(value, expected[:, :, 1].transpose(1, 2))
