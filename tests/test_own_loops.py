"""What loops of one's own are given: on every model, as of `generate`, and run by run."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stable_audio_open import prompted
from stable_audio_open.diffusion.samplers import initial_noise
from stable_audio_open.diffusion.timestep_shift import TimestepShift
from stable_audio_open.generate import generate_latents
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request.sampling_settings import SCHEDULES, resolve_sampling

pytestmark = pytest.mark.numerical


def test_noise_asks_for_no_other_number(random_flow: LatentDiffusion) -> None:
    """The flow is conditioned on bpm."""
    found = prompted.noise(random_flow, [3, 9])
    assert torch.equal(found, initial_noise((8, 500), [3, 9]))


def test_noise_depends_on_seed_and_length_alone(
    random_model: LatentDiffusion, random_flow: LatentDiffusion
) -> None:
    for window in (None, 0.5, 0.1, 1e-4):
        found = prompted.noise(random_model, 5, count=2, window=window)
        assert torch.equal(found, prompted.noise(random_flow, 5, count=2, window=window))
        assert torch.equal(found[1:], prompted.noise(random_model, 6, window=window))


@pytest.mark.usefixtures("types_unchecked")
def test_seeds_and_counts_of_numpy(random_model: LatentDiffusion) -> None:
    plain = prompted.noise(random_model, 5, count=2)
    seed: Any = np.int64(5)
    assert torch.equal(prompted.noise(random_model, seed, count=np.int32(2)), plain)  # type: ignore[arg-type]
    assert torch.equal(prompted.noise(random_model, seed), plain[:1])
    assert torch.equal(prompted.noise(random_model, (seed, np.int64(6))), plain)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (
            {"seed": None},
            TypeError,
            "seed must be an integer, or a list of one per item, got None (NoneType)",
        ),
        ({"seed": "7"}, TypeError, "seed must be an integer, got '7' (str)"),
        ({"seed": 1, "count": 2.0}, TypeError, "count must be an integer, got 2.0 (float)"),
        ({"seed": 1, "count": 0}, ValueError, "count must make 1 item or more, got 0"),
        ({"seed": []}, ValueError, "seed must make 1 item or more, got []"),
        (
            {"seed": [1, 2], "count": 3},
            ValueError,
            "give one seed or one per item, got 2 for 3 items",
        ),
        (
            {"seed": 1, "window": 2},
            ValueError,
            "window must be above 0 and at most the model's 1.00 seconds, got 2",
        ),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_noise_that_there_is_not(
    random_model: LatentDiffusion, given: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        prompted.noise(random_model, **given)
    assert str(caught.value) == message


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_levels_are_those_of_generate(random_flow: LatentDiffusion, schedule: str) -> None:
    given: dict[str, Any] = {"schedule": schedule, "sigma_max": 30.0}
    if schedule != "linear":
        given["sigma_min"] = 0.05
    random_flow.timestep_shift = TimestepShift(min_length=10, max_length=1000)
    try:
        for window, frames in ((None, 500), (0.25, 125)):
            expected = resolve_sampling(random_flow, {"steps": 6, **given}, frames=frames).sigmas
            for found in (
                prompted.sigmas(random_flow, 6, window=window, **given),
                prompted.sigmas(random_flow, steps=6, window=window, **given),
            ):
                assert found.tolist() == torch.tensor(expected).tolist()
    finally:
        random_flow.timestep_shift = None
    assert prompted.sigmas(random_flow).tolist()[0] == math.inf


def apg_run(denoiser: prompted.PromptedDenoiser, x: Tensor, sigmas: list[float]) -> Tensor:
    """Euler's method."""
    x = x * sigmas[0]
    for sigma, after in itertools.pairwise(sigmas):
        x = x + (after - sigma) * (x - denoiser(x, sigma)) / sigma
    return x


APG: dict[str, Any] = {
    "guidance_scale": 4.0,
    "guidance_parallel": 0.2,
    "guidance_norm": 2.0,
    "guidance_momentum": -0.7,
}


@torch.no_grad()
def test_every_run_begins_without_momentum(random_model: LatentDiffusion) -> None:
    sigmas = prompted.sigmas(random_model, 4).tolist()
    denoiser = prompted.denoiser(random_model, "deep kick", **APG)
    first, second = (apg_run(denoiser, prompted.noise(random_model, 1), sigmas) for _ in range(2))
    assert torch.equal(first, second)
    expected = generate_latents(
        random_model, "deep kick", steps=4, sampler="euler", seed=1, progress=False, **APG
    ).latents
    torch.testing.assert_close(first, expected, rtol=0, atol=1e-4 * float(expected.abs().max()))
    # And within a run it counts.
    plain = prompted.denoiser(random_model, "deep kick", **APG | {"guidance_momentum": 0.0})
    other = apg_run(plain, prompted.noise(random_model, 1), sigmas)
    assert not torch.allclose(first, other, atol=1e-3)


@torch.no_grad()
def test_a_run_that_begins_below_is_begun_by_hand(random_model: LatentDiffusion) -> None:
    denoiser = prompted.denoiser(random_model, "deep kick", **APG)
    x = prompted.noise(random_model, 1)
    alone = denoiser(x, 2.0)
    denoiser.reset()
    denoiser(x, 80.0)  # a run that is broken off
    denoiser.reset()
    assert torch.equal(denoiser(x, 2.0), alone)
    prompted.denoiser(random_model, "deep kick").reset()  # of guidance that keeps nothing


@pytest.mark.parametrize(
    ("x", "sigma", "kind", "message"),
    [
        (np.zeros((1, 8, 500)), 1.0, TypeError, "x must be a tensor of latents, got array([[["),
        (torch.zeros(1, 8, 400), 1.0, ValueError,
         "x must be of shape [1, 8, 500], got [1, 8, 400]"),
        (torch.zeros(1, 8), 1.0, ValueError, "x must be of shape [1, 8, 500], got [1, 8]"),
        (None, "1", TypeError, "sigma must be a number, got '1' (str)"),
        (None, None, TypeError, "sigma must be a number, got None (NoneType)"),
        (None, -1.0, ValueError, "sigma must be at least 0, got -1.0"),
        (None, math.nan, ValueError, "sigma must be at least 0, got nan"),
        (None, torch.tensor([1.0, 1.0]), ValueError,
         "all items must have one noise level, got [1.0, 1.0]"),
        (None, torch.tensor([]), ValueError, "all items must have one noise level, got []"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("types_unchecked")
def test_calls_that_cannot_be_answered(
    random_model: LatentDiffusion, x: Any, sigma: Any, kind: type[Exception], message: str
) -> None:
    denoiser = prompted.denoiser(random_model, "deep kick")
    with pytest.raises(kind) as caught:
        denoiser(torch.zeros(1, 8, 500) if x is None else x, sigma)
    assert str(caught.value).startswith(message)


@torch.no_grad()
@pytest.mark.usefixtures("types_unchecked")
def test_levels_in_every_form(random_model: LatentDiffusion) -> None:
    denoiser = prompted.denoiser(random_model, "deep kick")
    x = prompted.noise(random_model, 1)
    expected = denoiser(x, 2.0)
    for sigma in (2, np.float32(2), torch.tensor(2.0), torch.tensor([2.0]), np.int64(2)):
        assert torch.equal(denoiser(x, sigma), expected)  # type: ignore[arg-type]
