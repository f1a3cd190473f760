"""An item of a batch is the sound that its own seed gives alone, however it is made."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.editing.generate import generate
from stable_audio_open.editing.inpainting import extend, inpaint
from stable_audio_open.latent_diffusion import LatentDiffusion

pytestmark = pytest.mark.numerical

SEEDS = (7, 3, 7)
PROMPTS: list[Any] = ["deep kick", [("soft bell", 0.7), ("bass", 0.3)], "long warm drum"]
NEGATIVES: list[Any] = [None, "bass", [("kick", 1), ("bell", 2)]]
APG: dict[str, Any] = {"guidance_parallel": 0.3, "guidance_norm": 1.0}


def noise(items: int, seconds: float = 0.8, rate: int = 16000) -> Audio:
    generator = torch.Generator().manual_seed(4)
    return Audio(0.1 * torch.randn(items, 2, round(seconds * rate), generator=generator), rate)


SOUNDS, SLOW = noise(3), noise(3, rate=11025)

Call = Callable[..., Audio]
WAYS: dict[str, tuple[Call, dict[str, Any]]] = {
    "generate": (generate, {"duration": 0.5}),
    "euler": (generate, {"sampler": "euler", "guidance_rescale": 0.5}),
    "sde": (generate, {"sampler": "dpmpp-3m-sde"}),
    "ping-pong": (generate, {"sampler": "ping-pong", "schedule": "log-snr"}),
    "apg": (generate, {**APG, "guidance_momentum": -0.5}),
    "varied": (generate, {"init_audio": SOUNDS, "init_strength": 0.5}),
    "varied at another rate": (generate, {"init_audio": SLOW, "sampler": "dpmpp-2m-sde"}),
    "varied in a window": (generate, {"init_audio": SOUNDS, "window": 0.4}),
    "long": (generate, {"duration": 2.3, "sampler": "dpmpp-3m-sde"}),
    "long and projected": (generate, {"duration": 2.3, **APG, "guidance_momentum": -0.5}),
    "long and varied": (generate, {"duration": 1.3, "init_audio": SOUNDS}),
    "loop": (generate, {"duration": 0.5, "loop": True, "sampler": "dpmpp-2m-sde"}),
    "long loop": (generate, {"duration": 2.0, "loop": True, **APG}),
    "inpaint": (inpaint, {"audio": SOUNDS, "spans": [(0.2, 0.4), (0.5, 0.6)]}),
    "inpaint at another rate": (
        inpaint,
        {"audio": SLOW, "spans": [(0.2, 0.4)], "edges": "released", "sampler": "dpmpp-3m-sde"},
    ),
    "inpaint one sound": (inpaint, {"audio": SOUNDS[0], "spans": [(0.0, 0.4)]}),
    "extend": (extend, {"audio": SOUNDS, "seconds": 0.2, "edges": "generated"}),
    "extend before": (extend, {"audio": SLOW, "seconds": 0.3, "before": True, **APG}),
}


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_an_item_is_the_sound_that_it_is_alone(random_model: LatentDiffusion, way: str) -> None:
    call, given = WAYS[way]
    asked: dict[str, Any] = {"steps": 3, "progress": False, **given}
    scales: list[Any] = [3.0, [(100, 5.0), (1, 2.0)], None]
    together = call(
        random_model,
        prompt=PROMPTS,
        seed=SEEDS,
        negative_prompt=NEGATIVES,
        guidance_scale=scales,
        **asked,
    )
    assert together.seeds == SEEDS
    for index, seed in enumerate(SEEDS):
        for name in ("audio", "init_audio"):
            if name in given and len(given[name]) > 1:
                asked[name] = given[name][index]
        alone = call(
            random_model,
            prompt=[PROMPTS[index]],
            seed=[seed],
            negative_prompt=NEGATIVES[index] and [NEGATIVES[index]],
            guidance_scale=scales[index],
            **asked,
        )
        found, expected = together[index].samples, alone.samples
        atol = 2e-4 * float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=atol)


@pytest.mark.slow
def test_timelines_beside_plain_prompts(random_model: LatentDiffusion) -> None:
    prompts: list[Any] = [
        [(0, "deep kick"), (0.3, "soft bell"), (1.1, "bass")],
        "long warm drum",
        [(0, "bell"), (1.5, "kick")],
    ]
    for more in ({}, {"loop": True}):
        asked: dict[str, Any] = {"steps": 3, "progress": False, "duration": 2.3, **more}
        together = generate(random_model, prompts, seed=SEEDS, **asked)
        for index, seed in enumerate(SEEDS):
            alone = generate(random_model, [prompts[index]], seed=seed, **asked)
            atol = 2e-4 * float(alone.samples.abs().max())
            torch.testing.assert_close(together[index].samples, alone.samples, rtol=0, atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["generate", "long", "loop", "inpaint", "extend before", "varied"])
def test_items_of_a_flow_have_numbers_of_their_own(random_flow: LatentDiffusion, way: str) -> None:
    call, given = WAYS[way]
    asked: dict[str, Any] = {"steps": 3, "progress": False, **given}
    speeds = [60, 120, 200]
    together = call(
        random_flow,
        prompt=PROMPTS,
        seed=SEEDS,
        conditions={"bpm": speeds},
        guidance_scale=[1.0, 4.0, [(100, 5.0), (1, 2.0)]],
        **asked,
    )
    for index, scale in enumerate([1.0, 4.0, [(100, 5.0), (1, 2.0)]]):
        for name in ("audio", "init_audio"):
            if name in given:
                asked[name] = given[name][index]
        alone = call(
            random_flow,
            prompt=[PROMPTS[index]],
            seed=SEEDS[index],
            conditions={"bpm": speeds[index]},
            guidance_scale=scale,
            **asked,
        )
        atol = 2e-4 * float(alone.samples.abs().max())
        torch.testing.assert_close(together[index].samples, alone.samples, rtol=0, atol=atol)
