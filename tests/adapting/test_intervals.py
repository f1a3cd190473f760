"""Adapters that are active between two noise levels: decided at each evaluation of the model."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stable_audio_open import prompted
from stable_audio_open.diffusion import adapted_weights
from stable_audio_open.diffusion.adapted_weights import LoadedAdapter
from stable_audio_open.diffusion.samplers import get_sampler
from stable_audio_open.generate import generate_latents
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.nn.low_rank import LowRank
from stable_audio_open.pretrained import StableAudio

Write = Callable[..., Path]
QUICK: dict[str, Any] = {"seed": 3, "progress": False, "steps": 4}
SOUND = (0.1 * torch.randn(2, 9000, generator=torch.Generator().manual_seed(0)), 16000)

CALLS: dict[str, Callable[[StableAudio], Any]] = {
    "generate": lambda model: model.generate(["deep kick", "bell"], **QUICK),
    "without guidance": lambda model: model.generate("kick", guidance_scale=1.0, **QUICK),
    "a mixture": lambda model: model.generate([("kick", 0.7), ("bell", 0.3)], **QUICK),
    "with its midpoints": lambda model: model.generate("kick", sampler="heun", **QUICK),
    "a flow's grid": lambda model: model.generate("kick", schedule="log-snr", **QUICK),
    "a long sound": lambda model: model.generate("kick", duration=1.5, **QUICK),
    "a loop": lambda model: model.generate("kick", duration=0.5, loop=True, **QUICK),
    "inpaint": lambda model: model.inpaint(SOUND, "kick", spans=[(0.1, 0.3)], **QUICK),
    "extend": lambda model: model.extend(SOUND, "kick", seconds=0.1, **QUICK),
    "interpolate": lambda model: model.interpolate(("kick", "bell"), count=2, **QUICK),
    "stream": lambda model: next(model.stream("kick", **QUICK)),
}


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_all_levels_are_no_interval_and_no_level_is_the_base(
    model: StableAudio, random_adapter: Write, call: str
) -> None:
    def made(interval: tuple[float, float]) -> Tensor:
        model.set_adapters({"a": {"interval": interval}})
        found: Tensor = CALLS[call](model).samples
        return found

    base = CALLS[call](model).samples
    model.load_adapter(random_adapter(), name="a")
    whole = CALLS[call](model).samples
    assert torch.equal(made((0.0, math.inf)), whole)
    assert torch.equal(made((1e-9, 1e9 if "grid" not in call else math.inf)), whole)
    assert torch.equal(made((1e7, 1e9)), base)
    between = made((0.0, 50.0))
    assert not torch.allclose(between, whole)
    assert not torch.allclose(between, base)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "sampler"),
    [
        ("*", "euler"),
        ("*", "dpmpp-2m"),
        ("*.key_value", "heun"),
        ("context_projection.*", "euler"),
        ("time_embedding*", "euler"),
    ],
)
def test_a_split_is_a_loop_that_swaps_weights(
    model: StableAudio,
    random_adapter: Write,
    tiny_model_folder: Path,
    pattern: str,
    sampler: str,
) -> None:
    """Keys and values of the context are those of the weights that are in at each level."""
    folder = random_adapter(pattern)
    base = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    merged = StableAudio.from_pretrained(tiny_model_folder, device="cpu", lora=[(folder, 1.0)])
    grid = [float(sigma) for sigma in model.sigmas(4)]
    split = grid[2]
    high, low = merged.denoiser("deep kick"), base.denoiser("deep kick")

    def swapping(x: Tensor, sigma: float) -> Tensor:
        return (high if sigma >= split else low)(x, sigma)

    def no_noise(*_: Any) -> Tensor:
        raise AssertionError

    expected = get_sampler(sampler)(
        swapping, model.noise(3) * grid[0], grid, noise=no_noise, callback=lambda *_: None
    )
    plain, whole = (
        generate_latents(one, "deep kick", sampler=sampler, **QUICK).latents
        for one in (base, merged)
    )
    model.load_adapter(folder, interval=(split * (1 - 1e-6), math.inf))
    found = generate_latents(model, "deep kick", sampler=sampler, **QUICK).latents
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for other in (plain, whole):
        assert (found - other).abs().max() > 1e-3


def test_an_interval_of_a_flow_is_in_sigma(random_flow: LatentDiffusion) -> None:
    """Not in t, which is sigma / (1 + sigma)."""
    layer = random_flow.transformer.output_projection
    change = LowRank(torch.ones(1, layer.in_features), torch.ones(layer.out_features, 1), 1.0)
    adapter = LoadedAdapter({"output_projection": change}, folder="", digest="")
    bpm = {"bpm": 120.0}
    random_flow.adapter_set.load("a", adapter)
    try:
        found = prompted.denoiser(
            random_flow, "kick", conditions=bpm, adapters={"a": {"interval": (1.0, 4.0)}}
        )
        base = prompted.denoiser(random_flow, "kick", conditions=bpm)
        x = prompted.noise(random_flow, 1).double()
        for sigma, is_active in ((0.9, False), (1.0, True), (4.0, True), (4.1, False)):
            assert torch.equal(found(x, sigma), base(x, sigma)) != is_active
    finally:
        random_flow.adapter_set.unload("a")


def test_the_context_is_projected_once_for_each_change(
    model: StableAudio, random_adapter: Write
) -> None:
    calls: list[float] = []
    block: Any = model.transformer.blocks[0]
    model.load_adapter(random_adapter("*.key_value"), name="a")
    block.cross_attention.key_value.register_forward_hook(
        lambda layer, inputs, output: calls.append(float(layer.weight.sum()))
    )
    for interval, times in (
        ((0.0, math.inf), 1),
        ((1e7, 1e8), 1),
        ((20.0, math.inf), 2),
        ((3.0, 60.0), 3),
    ):
        calls.clear()
        model.set_adapters({"a": {"interval": interval}})
        model.generate("kick", **QUICK | {"steps": 8})
        assert len(calls) == times
        assert len(set(calls)) == min(times, 2)


def test_weights_are_merged_once_for_each_change(
    model: StableAudio, random_adapter: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    merges: list[int] = []
    merge = adapted_weights._merged

    def counted(layers: Any, parts: Any) -> Any:
        merges.append(len(parts))
        return merge(layers, parts)

    monkeypatch.setattr(adapted_weights, "_merged", counted)
    model.load_adapter(random_adapter(), name="a")
    for _ in range(2):
        model.generate("kick", **QUICK)
    assert merges == [1]
    model.load_adapter(random_adapter(seed=1), name="b", interval=(20.0, math.inf))
    merges.clear()
    model.generate("kick", **QUICK | {"steps": 8})
    assert merges == [2, 1]
    merges.clear()
    model.set_adapters({"a": {"interval": (20.0, math.inf)}})
    for _ in range(2):
        model.generate("kick", **QUICK | {"steps": 8})
    assert merges == [1]


def test_intervals_of_several_overlap(
    model: StableAudio, random_adapter: Write, tiny_model_folder: Path
) -> None:
    """The same one twice, each time another part of it."""
    folder = random_adapter()
    model.load_adapter(folder, name="high", interval=(20.0, math.inf), weight=0.25)
    model.load_adapter(folder, name="everywhere", weight=0.5)
    x = model.noise(1)
    found = model.denoiser("kick")
    for sigma, weight in ((100.0, 0.75), (20.0, 0.75), (19.9, 0.5), (30.0, 0.75)):
        expected = StableAudio.from_pretrained(
            tiny_model_folder, device="cpu", lora=[(folder, weight)]
        ).denoiser("kick")
        torch.testing.assert_close(
            found(x * sigma, sigma), expected(x * sigma, sigma), rtol=1e-4, atol=1e-4
        )
