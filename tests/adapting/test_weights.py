"""Adapters by weight: nothing of them is the base, all of them is the merged model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stable_audio_open.pretrained import StableAudio
from stable_audio_open.sampling import StoppedError

REQUEST: dict[str, Any] = {"duration": 0.3, "steps": 3, "seed": 3, "progress": False}
Write = Callable[..., Path]


def made(model: StableAudio, **more: Any) -> Tensor:
    return model.generate(["deep kick", "soft bell"], **REQUEST, **more).samples


def loaded(folder: Path, *lora: Any, **settings: Any) -> StableAudio:
    return StableAudio.from_pretrained(folder, device="cpu", lora=list(lora), **settings)


@pytest.mark.slow
@pytest.mark.parametrize("is_dora", [False, True])
def test_nothing_of_it_is_the_base_and_all_of_it_is_merged(
    model: StableAudio, random_adapter: Write, tiny_model_folder: Path, is_dora: bool
) -> None:
    folder = random_adapter(is_dora=is_dora)
    base = made(model)
    name = model.load_adapter(folder)
    merged = made(loaded(tiny_model_folder, (folder, 1.0)))
    assert (merged - base).abs().max() > 1e-3
    torch.testing.assert_close(made(model), merged)
    model.set_adapters({name: 0.0})
    assert torch.equal(made(model), base)
    model.set_adapters({name: 0.3})
    torch.testing.assert_close(made(model), made(loaded(tiny_model_folder, (folder, 0.3))))
    model.set_adapters({})
    assert torch.equal(made(model), base)
    model.set_adapters({name: 1.0})
    model.unload_adapter(name)
    assert torch.equal(made(model), base)


def merged_weight(model: StableAudio) -> Tensor:
    weights = model.adapter_set.weights(model.transformer, model.adapter_set.uses, time=float)
    with weights.at(0.0):
        return model.transformer.output_projection.weight


def test_a_weight_of_dora_interpolates(model: StableAudio, random_adapter: Write) -> None:
    model.double()
    model.load_adapter(random_adapter(is_dora=True), name="a")
    found = []
    for weight in (0.0, 0.5, 1.0):
        model.set_adapters({"a": weight})
        found.append(merged_weight(model))
    assert found[0] is model.transformer.output_projection.weight
    assert found[2].dtype == torch.float64
    torch.testing.assert_close(found[1], (found[0] + found[2]) / 2)
    assert not torch.allclose(found[0], found[2])


def test_several_add_up(model: StableAudio, random_adapter: Write, tiny_model_folder: Path) -> None:
    folders = [random_adapter(seed=1), random_adapter("*.feedforward.*", seed=2, is_dora=True)]
    merged = made(loaded(tiny_model_folder, (folders[0], 0.5), (folders[1], -0.7)))
    for folder, weight in zip(folders, (0.5, -0.7), strict=True):
        model.load_adapter(folder, weight=weight)
    assert model.adapters.keys() == {"random_1", "random_2"}
    torch.testing.assert_close(made(model), merged)
    one = made(model, adapters={"random_1": 0.5})
    torch.testing.assert_close(one, made(loaded(tiny_model_folder, (folders[0], 0.5))))


def test_a_call_may_say_otherwise(model: StableAudio, random_adapter: Write) -> None:
    base = made(model)
    model.load_adapter(random_adapter(), name="a", weight=0.5)
    half = made(model)
    assert torch.equal(made(model, adapters={}), base)
    whole = made(model, adapters={"a": {"weight": 1.0, "layers": None}})
    assert torch.equal(made(model), half)
    model.set_adapters({"a": 1})
    assert torch.equal(made(model), whole)
    assert not torch.equal(whole, half)


def test_its_state_can_be_set_again(model: StableAudio, random_adapter: Write) -> None:
    model.load_adapter(random_adapter(), name="a", weight=0.5, interval=(1, 80), layers=[0])
    model.load_adapter(random_adapter(seed=1), name="b")
    model.set_adapters({"a": model.adapters["a"]})
    state = model.adapters
    assert state == {
        "a": {"weight": 0.5, "interval": (1.0, 80.0), "layers": (0,)},
        "b": {"weight": 0.0, "interval": (0.0, torch.inf), "layers": None},
    }
    sound = made(model)
    model.set_adapters({"b": 1.0})
    model.set_adapters(state)
    assert model.adapters == state
    assert torch.equal(made(model), sound)


def weights(model: StableAudio) -> list[tuple[nn.Parameter, int]]:
    return [(parameter, parameter.data_ptr()) for parameter in model.parameters()]


def assert_own_weights(model: StableAudio, before: list[tuple[nn.Parameter, int]]) -> None:
    for (now, place), (then, own) in zip(weights(model), before, strict=True):
        assert now is then
        assert place == own


def test_its_own_weights_are_kept_whatever_happens(
    model: StableAudio, random_adapter: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights(model)
    model.load_adapter(random_adapter())
    made(model)
    assert_own_weights(model, before)
    with pytest.raises(StoppedError):
        made(model, callback=lambda step: False)
    assert_own_weights(model, before)
    monkeypatch.setattr(model.transformer, "rotary", None)
    with pytest.raises(TypeError):
        made(model)
    assert_own_weights(model, before)


def test_layers_are_chosen_by_block_and_pattern(model: StableAudio, random_adapter: Write) -> None:
    """What is left is the same adapter without the others."""
    model.load_adapter(random_adapter(seed=1), name="a")
    whole = model.adapter_set.loaded["a"].layers
    for layers, names in (
        ([1], [name for name in whole if name.startswith("blocks.1.")]),
        (["*.key_value", 0], [n for n in whole if n.startswith("blocks.0.") or "key_v" in n]),
        (["output_projection"], ["output_projection"]),
    ):
        model.set_adapters({"a": {"layers": layers}})
        (part,) = model.adapter_set.weights(
            model.transformer, model.adapter_set.uses, time=float
        ).active(1.0)
        assert list(part.layers) == names
        assert len(names) < len(whole)
    model.set_adapters({"a": {"layers": [0, 1, "*projection*", "time_embedding.*"]}})
    chosen = made(model)
    model.set_adapters({"a": 1.0})
    assert torch.equal(chosen, made(model))


def test_a_denoiser_keeps_what_it_was_made_with(model: StableAudio, random_adapter: Write) -> None:
    model.load_adapter(random_adapter(), name="a", weight=0.5)
    x, before = model.noise(1), model.denoiser("deep kick")
    expected = before(x, 1.0)
    model.set_adapters({})
    base = model.denoiser("deep kick")(x, 1.0)
    assert torch.equal(before(x, 1.0), expected)
    assert not torch.allclose(base, expected)
    model.unload_adapter("a")
    assert torch.equal(before(x, 1.0), expected)
    with pytest.raises(ValueError, match="no adapter 'a' is loaded; loaded: none"):
        model.denoiser("deep kick", adapters={"a": 0.5})


@pytest.mark.parametrize("mode", ["full", "selective"])
def test_gradients_are_those_of_the_merged_model(
    model: StableAudio, random_adapter: Write, tiny_model_folder: Path, mode: Any
) -> None:
    """Activation checkpointing would compute blocks again when the own weights are back."""
    folder = random_adapter()
    merged = loaded(tiny_model_folder, (folder, 1.0))
    model.load_adapter(folder)
    gradients = []
    for one in (merged, model):
        one.transformer.activation_checkpointing = mode
        x = model.noise(1).requires_grad_()
        one.denoiser("deep kick")(x, 2.0).square().sum().backward()
        assert x.grad is not None
        gradients.append(x.grad)
        assert one.transformer.activation_checkpointing == mode
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-4)


def test_weights_that_change_are_merged_anew(model: StableAudio, random_adapter: Write) -> None:
    model.load_adapter(random_adapter())
    first = made(model)
    with torch.no_grad():
        model.transformer.output_projection.weight.mul_(0.5)
    second = made(model)
    assert not torch.allclose(second, first)
    with torch.no_grad():
        model.transformer.output_projection.weight.mul_(2.0)
    assert torch.equal(made(model), first)
    single = merged_weight(model)
    model.double()
    torch.testing.assert_close(merged_weight(model), single.double())
    with torch.inference_mode():  # whose changes are not counted
        model.transformer.output_projection.weight = nn.Parameter(single.clone())
    third = merged_weight(model)
    with torch.inference_mode():
        model.transformer.output_projection.weight.mul_(0.5)
    assert not torch.equal(merged_weight(model), third)


def test_half_precision_is_rounded_once(
    random_adapter: Write, tiny_model_folder: Path, model: StableAudio
) -> None:
    folder = random_adapter()
    half = loaded(tiny_model_folder, dtype="bfloat16")
    half.load_adapter(folder, name="a")
    model.load_adapter(folder, name="a")
    own = model.transformer.output_projection.weight
    change = merged_weight(model) - own
    found = merged_weight(half)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, (own.bfloat16().float() + change).bfloat16())
    assert made(half).isfinite().all()


def test_sums_that_are_not_finite_are_refused(model: StableAudio, random_adapter: Write) -> None:
    model.load_adapter(random_adapter(), weight=1e300)
    with pytest.raises(
        ValueError, match=r"random_0 \(weight 1e\+300\): with adapters, .* infinity"
    ):
        made(model)
    model.set_adapters({})
    assert made(model).isfinite().all()
