import re

import pytest
import torch

from stable_audio_open.builders.model import TextEncoder, build_conditioner
from stable_audio_open.conditioning.conditioner import Conditioner
from stable_audio_open.conditioning.number import NumberConditioner
from stable_audio_open.config.conditioning import ConditioningConfig, NumberConfig, T5Config
from stable_audio_open.config.model import DiffusionModelConfig

pytestmark = pytest.mark.numerical


@pytest.fixture
def conditioner(
    tiny_model_config: DiffusionModelConfig, tiny_text_encoder: TextEncoder
) -> Conditioner:
    return build_conditioner(tiny_model_config.conditioning, text_encoder=tiny_text_encoder)


def condition(prompt: str = "kick", start: float = 0, total: float = 5) -> dict[str, str | float]:
    return {"prompt": prompt, "seconds_start": start, "seconds_total": total}


def test_prepare_then_embed_gives_all_tokens_and_the_global_features(
    conditioner: Conditioner,
) -> None:
    found = conditioner(conditioner.prepare([condition(), condition("soft bell", 1, 2)]))
    assert found.cross.shape == (2, 8 + 2, 16)
    assert found.global_.shape == (2, 2 * 16)


def test_an_item_of_a_batch_is_embedded_as_alone(conditioner: Conditioner) -> None:
    items = [condition("long warm bass", 3, 40), condition("bell"), condition("deep drum", 0, 0.5)]
    together = conditioner(conditioner.prepare(items))
    for index, item in enumerate(items):
        alone = conditioner(conditioner.prepare([item]))
        torch.testing.assert_close(together.cross[index : index + 1], alone.cross)
        torch.testing.assert_close(together.global_[index : index + 1], alone.global_)


@pytest.mark.parametrize("change", [{"seconds_end": 3}, {"prompt": None}])
def test_items_need_exactly_the_known_values(
    conditioner: Conditioner, change: dict[str, int | None]
) -> None:
    item = {k: v for k, v in {**condition(), **change}.items() if v is not None}
    message = (
        f"each item needs exactly ['prompt', 'seconds_start', 'seconds_total'], got {list(item)}"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        conditioner.prepare([condition(), item])


@pytest.mark.parametrize("seconds", [float("nan"), float("inf")])
def test_numbers_must_be_finite(conditioner: Conditioner, seconds: float) -> None:
    with pytest.raises(ValueError, match=rf"^conditioning numbers must be finite, got \[{seconds}"):
        conditioner.prepare([condition(total=seconds)])


def test_numbers_of_any_name_in_any_place(tiny_text_encoder: TextEncoder) -> None:
    config = ConditioningConfig(
        width=16,
        conditioners=(
            T5Config(id="prompt", model="text_encoder", max_length=8),
            NumberConfig(id="bpm", min=40, max=240),
            NumberConfig(id="brightness", min=0, max=1),
        ),
        cross_attention=("bpm", "prompt"),
        global_=("brightness",),
    )
    conditioner = build_conditioner(config, text_encoder=tiny_text_encoder)
    item = {"prompt": "kick", "bpm": 120.0, "brightness": 0.5}
    found = conditioner(conditioner.prepare([item]))
    assert (found.cross.shape, found.global_.shape) == ((1, 9, 16), (1, 16))
    bpm = conditioner.numbers["bpm"](torch.tensor([120.0])).tokens
    brightness = conditioner.numbers["brightness"](torch.tensor([0.5])).tokens
    assert torch.equal(found.cross[:, :1], bpm)
    assert torch.equal(found.global_, brightness[:, 0])


def test_without_global_conditions_there_are_no_global_features(
    tiny_text_encoder: TextEncoder,
) -> None:
    config = ConditioningConfig(
        width=16,
        conditioners=(T5Config(id="prompt", model="text_encoder", max_length=8),),
        cross_attention=("prompt",),
        global_=(),
    )
    conditioner = build_conditioner(config, text_encoder=tiny_text_encoder)
    found = conditioner(conditioner.prepare([{"prompt": "kick"}, {"prompt": "bell"}]))
    assert (found.cross.shape, found.global_.shape) == ((2, 8, 16), (2, 0))


@pytest.mark.parametrize("name", ["keys", "train", "beats.minute"])
def test_names_that_pytorch_keeps_for_itself_are_refused(name: str) -> None:
    number = NumberConditioner(width=4, minimum=0, maximum=1)
    message = f'no conditioner can have the id "{name}", which PyTorch keeps for itself'
    with pytest.raises(ValueError, match=re.escape(message)):
        Conditioner(texts={}, numbers={name: number}, cross_attention=(name,), global_=())
