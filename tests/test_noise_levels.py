"""Which noise levels can be asked for, on every schedule."""

import math
from typing import Any

import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion
from stable_audio_open.request.sampling_settings import SCHEDULES, resolve_sampling

ORDER = "sigma_min and sigma_max must satisfy 0 < sigma_min < sigma_max, got"


@pytest.mark.parametrize("schedule", ["polyexponential", "karras", "log-snr"])
@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (1.0, 1.0)])
def test_the_last_level_lies_below_the_first(
    random_model: LatentDiffusion, schedule: str, low: float, high: float
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the whole message is compared
        resolve_sampling(random_model, {"schedule": schedule, "sigma_min": low, "sigma_max": high})
    assert str(caught.value) == f"{ORDER} {low} and {high}"


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", ["sigma_min", "sigma_max"])
@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, 1e-13, 1e7])
def test_a_level_is_a_positive_number(
    random_model: LatentDiffusion, schedule: str, name: str, value: float
) -> None:
    with pytest.raises(ValueError, match=rf"^[^\n]*{name}[^\n]*$"):
        resolve_sampling(random_model, {"schedule": schedule, name: value})  # type: ignore[misc]


def test_a_level_that_counts_for_nothing_is_refused(random_model: LatentDiffusion) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the whole message is compared
        resolve_sampling(random_model, {"schedule": "linear", "sigma_min": 0.1})
    assert str(caught.value) == (
        "sigma_min 0.1 has no place in the schedule 'linear', whose levels follow from steps and "
        "sigma_max; leave it out"
    )
    low = resolve_sampling(random_model, {"schedule": "linear", "sigma_max": 0.1}).sigmas
    assert low[0] == 0.1


@pytest.mark.parametrize("schedule", ["polyexponential", "karras"])
def test_levels_too_near_for_so_many_steps(random_model: LatentDiffusion, schedule: str) -> None:
    near = {"schedule": schedule, "sigma_min": 1.0, "sigma_max": 1.0 + 1e-15, "steps": 50}
    with pytest.raises(ValueError, match="sigmas must fall strictly"):
        resolve_sampling(random_model, near)  # type: ignore[arg-type]


@pytest.mark.parametrize("objective", ["v", "rf_denoiser"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_strength_has_levels(
    random_model: LatentDiffusion,
    monkeypatch: pytest.MonkeyPatch,
    objective: str,
    schedule: str,
) -> None:
    monkeypatch.setattr(random_model, "objective", objective)
    sampling = resolve_sampling(random_model, {"schedule": schedule, "steps": 5})
    for strength in (1e-300, 1e-9, 0.5, 1 - 1e-9, 1.0):
        sigmas = sampling.varying(strength).sigmas
        assert len(sigmas) == 6
        assert sigmas[0] > 0.99e-11
    for level in (1e-11, 0.01, 1e6):
        assert sampling.varying(1.0, level).sigmas[0] == pytest.approx(level)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"init_noise_level": 0.0}, "init_noise_level must be above 0, got 0.0"),
        ({"init_noise_level": math.inf}, "init_noise_level must be above 0, got inf"),
        ({"init_noise_level": 1e7}, "init_noise_level must be between 1e-11 and 1e+06, got 1e+07"),
        ({"init_noise_level": 1e-12}, "init_noise_level must be between 1e-11 and 1e+06, got"),
        (
            {"init_noise_level": 3, "init_audio": None},
            "init_noise_level 3 is where init_audio is started from; give init_audio too",
        ),
    ],
)
def test_where_a_sound_is_started_from(
    random_model: LatentDiffusion, given: dict[str, Any], message: str
) -> None:
    sound = Audio(torch.full((1, 2, 800), 0.1), 16000)
    with pytest.raises(ValueError, match=r"^init_noise_level") as caught:
        generate(random_model, "kick", **{"init_audio": sound, "progress": False} | given)
    assert str(caught.value).startswith(message)


def test_guidance_of_a_flow_is_in_its_time(random_flow: LatentDiffusion) -> None:
    with pytest.raises(ValueError, match=r"^guidance interval of a flow is in its time t, 0 to 1"):
        resolve_sampling(random_flow, {"guidance_interval": (5.0, 100.0)})
