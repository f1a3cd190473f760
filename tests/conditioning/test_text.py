import copy

import pytest
import torch

from stable_audio_open.builders.model import TextEncoder
from stable_audio_open.conditioning.text import TextConditioner

pytestmark = pytest.mark.numerical


def text_conditioner(
    given: TextEncoder, *, trainable: bool = False, width: int = 24, max_length: int = 8
) -> TextConditioner:
    return TextConditioner(
        tokenizer=given.tokenizer,
        encoder=copy.deepcopy(given.encoder),
        encoder_width=24,
        width=width,
        max_length=max_length,
        trainable=trainable,
    )


def test_a_projection_is_learned_only_where_widths_differ(tiny_text_encoder: TextEncoder) -> None:
    assert text_conditioner(tiny_text_encoder).projection is None
    conditioner = text_conditioner(tiny_text_encoder, width=5)
    assert conditioner(conditioner.prepare(["kick"])).tokens.shape == (1, 8, 5)


def test_longer_prompts_are_cut(tiny_text_encoder: TextEncoder) -> None:
    conditioner = text_conditioner(tiny_text_encoder, max_length=4)
    tokens = conditioner.prepare(["deep kick drum soft bright bell", "bell"])
    assert tokens.ids.shape == (2, 4)
    assert tokens.mask.tolist() == [[True] * 4, [True, True, False, False]]


def test_gradients_reach_a_trainable_encoder_alone(tiny_text_encoder: TextEncoder) -> None:
    for trainable in (True, False):
        conditioner = text_conditioner(tiny_text_encoder, trainable=trainable, width=5)
        conditioner(conditioner.prepare(["kick"])).tokens.sum().backward()
        assert conditioner.projection is not None
        assert conditioner.projection.weight.grad is not None
        for parameter in conditioner.encoder.parameters():
            assert parameter.requires_grad is trainable
            assert (parameter.grad is not None) is trainable


def test_a_frozen_encoder_never_drops_out(tiny_text_encoder: TextEncoder) -> None:
    for trainable in (True, False):
        conditioner = text_conditioner(tiny_text_encoder, trainable=trainable)
        assert conditioner.encoder.training is trainable
        conditioner.eval()
        assert not conditioner.encoder.training
        conditioner.train()
        assert conditioner.encoder.training is trainable


def test_the_encoder_may_have_another_precision_than_the_projection(
    tiny_text_encoder: TextEncoder,
) -> None:
    conditioner = text_conditioner(tiny_text_encoder, width=5)
    assert conditioner.projection is not None
    conditioner.projection.bfloat16()
    condition = conditioner(conditioner.prepare(["kick"]))
    assert condition.tokens.dtype == torch.bfloat16


def test_it_explains_itself(tiny_text_encoder: TextEncoder) -> None:
    assert "max_length=8, trainable=False" in repr(text_conditioner(tiny_text_encoder))
