"""Guidance scales in all forms that they are given in."""

import logging
from typing import Any

import numpy as np
import pytest
import torch

from stable_audio_open.editing.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request.given_guidance import check_scales, scales_of

pytestmark = pytest.mark.numerical

POINTS = ((80.0, 3.0), (1.0, 5.0))
ASKED: dict[str, Any] = {"steps": 3, "progress": False}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, [7.0, 7.0]),
        (4, [4, 4]),
        ([4, None], [4, 7.0]),
        ([(80, 3), (1, 5)], [POINTS, POINTS]),
        ([[80, 3], [1, 5]], [POINTS, POINTS]),
        ([4, [(80, 3), (1, 5)]], [4, POINTS]),
        (([[80, 3], [1, 5]], np.float32(2)), [POINTS, 2.0]),
    ],
)
def test_every_item_has_its_scale(given: object, expected: list[object]) -> None:
    found = check_scales(given, default=7.0)
    assert scales_of(found, items=2) == expected
    assert scales_of(check_scales(found, default=1.0), items=2) == expected


def test_items_have_points_of_their_own(random_model: LatentDiffusion) -> None:
    prompts, points = ["deep kick", "bell", "bass"], [(500, 6.0), (0.3, 2.0)]
    both = generate(
        random_model, prompts, guidance_scale=[3.0, points, None], seed=[4, 5, 6], **ASKED
    )
    for index, scale in enumerate((3.0, points, None)):
        alone = generate(
            random_model, prompts[index], guidance_scale=scale, seed=4 + index, **ASKED
        )
        atol = 1e-4 * float(alone.samples.abs().max())
        torch.testing.assert_close(both[index].samples, alone.samples, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (
            [7, (80, 3)],
            TypeError,
            "guidance_scale must be a number or points [(sigma, scale), ...], for all items or for "
            "each, got (80, 3) (tuple)",
        ),
        (
            [7, [80, 3, 1]],
            TypeError,
            "guidance_scale must be a number or points [(sigma, scale), ...], for all items or for "
            "each, got [80, 3, 1] (list)",
        ),
        ([7, "3"], TypeError, "guidance_scale must be a number, got '3' (str)"),
        ([7, True], TypeError, "guidance_scale must be a number, got True (bool)"),
        (
            [7, [(0, 3)]],
            ValueError,
            "guidance_scale has a point at sigma 0; it must be above 0",
        ),
        ([7, 2, 3], ValueError, "give one guidance_scale or one per item, got 3 for 2 items"),
        ([7, float("nan")], ValueError, "guidance scale must be a finite number, got nan"),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_other_lists_are_refused_in_one_line(
    random_model: LatentDiffusion, given: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        generate(random_model, ["kick", "bell"], guidance_scale=given, **ASKED)
    assert str(caught.value) == message


@pytest.mark.parametrize("more", [{}, {"duration": 2.5}, {"loop": True, "duration": 2.5}])
def test_a_negative_prompt_that_does_nothing_is_told_once(
    random_model: LatentDiffusion, caplog: pytest.LogCaptureFixture, more: dict[str, Any]
) -> None:
    given: dict[str, Any] = {"negative_prompt": [None, "bass"], "seed": 1, **ASKED, **more}
    with caplog.at_level(logging.WARNING):
        generate(random_model, ["kick", "bell"], guidance_scale=[3.0, 1.0], **given)
    assert caplog.messages == [
        "negative_prompt has no effect at guidance_scale 1; give a scale above 1"
    ]
    caplog.clear()
    generate(random_model, ["kick", "bell"], guidance_scale=[1.0, 3.0], **given)
    assert not caplog.messages
