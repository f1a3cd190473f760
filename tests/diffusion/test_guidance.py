import math
import re

import pytest
import torch
from torch import Tensor

from stable_audio_open.diffusion.guidance import GuidedVelocity, guide
from stable_audio_open.diffusion.schedule import time_from_sigma

pytestmark = pytest.mark.numerical


def velocities() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    conditional, null = torch.randn(2, 2, 8, 5, generator=generator, dtype=torch.float64)
    return conditional, null


class Model:
    """Answers with fixed velocities and counts its calls."""

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        self.halves = tuple(v.to(dtype) for v in velocities())
        self.calls: list[str] = []

    def pair(self, x: Tensor, t: float) -> tuple[Tensor, Tensor]:
        self.calls.append("pair")
        conditional, null = self.halves
        return conditional, null

    def conditional(self, x: Tensor, t: float) -> Tensor:
        self.calls.append("conditional")
        return self.halves[0]


@pytest.mark.parametrize("rescale", [0.0, 0.6, 1.0])
def test_scale_1_is_the_conditional_and_0_the_null(rescale: float) -> None:
    conditional, null = velocities()
    torch.testing.assert_close(guide(conditional, null, scale=1.0, rescale=rescale), conditional)
    torch.testing.assert_close(guide(conditional, null, scale=0.0), null)


def test_guidance_moves_away_from_the_null() -> None:
    conditional, null = velocities()
    expected = null + 7 * (conditional - null)
    torch.testing.assert_close(guide(conditional, null, scale=7.0), expected)


def test_rescale_1_gives_every_frame_the_conditional_spread() -> None:
    conditional, null = velocities()
    guided = guide(conditional, null, scale=7.0, rescale=1.0)
    torch.testing.assert_close(guided.std(dim=1), conditional.std(dim=1))
    plain = guide(conditional, null, scale=7.0)
    torch.testing.assert_close(
        guided / guided.norm(dim=1)[:, None], plain / plain.norm(dim=1)[:, None]
    )


def test_rescale_mixes_with_the_unbiased_spread_of_each_frame() -> None:
    conditional, null = velocities()
    plain = guide(conditional, null, scale=7.0)
    found = guide(conditional, null, scale=7.0, rescale=0.7)
    expected = torch.empty_like(plain)
    for item in range(plain.shape[0]):
        for frame in range(plain.shape[2]):
            frames = plain[item, :, frame], conditional[item, :, frame]
            spread, wanted = (((v - v.mean()) ** 2).sum().div(8 - 1).sqrt() for v in frames)
            expected[item, :, frame] = 0.7 * wanted / spread * frames[0] + 0.3 * frames[0]
    torch.testing.assert_close(found, expected)


def test_rescale_keeps_a_frame_without_spread() -> None:
    flat = torch.full((1, 4, 3), 2.0)
    torch.testing.assert_close(guide(flat, flat, scale=7.0, rescale=1.0), flat)


def test_wrapper_guides_inside_the_interval_alone() -> None:
    model = Model()
    velocity = GuidedVelocity(
        pair=model.pair, conditional=model.conditional, scale=3.0, rescale=0.5, interval=(0.5, 80.0)
    )
    x = torch.zeros(2, 8, 5, dtype=torch.float64)
    conditional, null = velocities()
    guided = guide(conditional, null, scale=3.0, rescale=0.5)
    levels = [(500.0, False), (80.1, False), (80.0, True), (1.0, True), (0.5, True), (0.4, False)]
    for sigma, inside in levels:
        model.calls.clear()
        found = velocity(x, time_from_sigma(sigma))
        torch.testing.assert_close(found, guided if inside else conditional)
        assert model.calls == ["pair" if inside else "conditional"]


def test_wrapper_evaluates_no_null_for_scale_1() -> None:
    model = Model()
    velocity = GuidedVelocity(pair=model.pair, conditional=model.conditional, scale=1.0)
    velocity(torch.zeros(2, 8, 5), 0.9)
    assert model.calls == ["conditional"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_in_half_precision_are_mixed_in_float32(dtype: torch.dtype) -> None:
    model = Model(dtype)
    velocity = GuidedVelocity(pair=model.pair, conditional=model.conditional, scale=7.0)
    found = velocity(torch.zeros(2, 8, 5), 0.9)
    conditional, null = (v.float() for v in model.halves)
    torch.testing.assert_close(found, guide(conditional, null, scale=7.0))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"scale": math.nan}, "guidance scale must be a finite number, got nan"),
        ({"scale": 7.0, "rescale": 1.5}, "guidance rescale must be between 0 and 1, got 1.5"),
        ({"scale": 7.0, "interval": (2.0, 1.0)}, "0 <= low <= high, got (2.0, 1.0)"),
        ({"scale": 7.0, "interval": (-1.0, 1.0)}, "0 <= low <= high, got (-1.0, 1.0)"),
    ],
)
def test_wrapper_refuses_what_makes_no_sense(keywords, message: str) -> None:
    model = Model()
    with pytest.raises(ValueError, match=re.escape(message)):
        GuidedVelocity(pair=model.pair, conditional=model.conditional, **keywords)


@pytest.mark.parametrize(("t", "guided"), [(1.0, False), (0.8, True), (0.5, True), (0.2, False)])
def test_the_interval_of_a_flow_is_in_t(t: float, guided: bool) -> None:
    model = Model()
    velocity = GuidedVelocity(
        pair=model.pair,
        conditional=model.conditional,
        scale=3.0,
        interval=(0.5, 0.8),
        time=lambda level: level,
    )
    velocity(torch.zeros(2, 8, 5, dtype=torch.float64), t)
    assert model.calls == ["pair" if guided else "conditional"]
