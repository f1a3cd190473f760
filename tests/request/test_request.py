"""Every argument that makes no sense is refused in one line."""

import math
from typing import Any

import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion

RATE = 16000


def sound(samples: int = 100, *, items: int = 1, channels: int = 2, value: float = 0.0) -> Audio:
    return Audio(torch.full((items, channels, samples), value), RATE)


@pytest.mark.parametrize(
    ("prompt", "given", "message"),
    [
        ("", {}, "prompt is empty; describe the sound in a few words"),
        (["kick", " \n"], {}, "prompt is empty; describe the sound in a few words"),
        ([], {}, "prompt is an empty list; give at least one text"),
        (
            "k" * 10_000,
            {},
            "prompt has 10000 characters, at most 2000 are allowed; describe the sound more "
            "briefly",
        ),
        (
            "kick",
            {"negative_prompt": ""},
            "negative_prompt is empty; describe the sound in a few words",
        ),
        (
            "kick",
            {"negative_prompt": "k" * 2001},
            "negative_prompt has 2001 characters, at most 2000 are allowed; describe the sound "
            "more briefly",
        ),
        (
            ["kick"] * 3,
            {"negative_prompt": ["bell"] * 2},
            "give one negative_prompt or one per item, got 2 for 3 items",
        ),
        *(
            (
                "kick",
                {"duration": duration},
                f"duration must be above 0 and at most the window of 1.00 seconds, got {duration}",
            )
            for duration in (0, -1.5, 1.01, 10_000, math.nan, math.inf)
        ),
        (
            "kick",
            {"duration": 0.7, "window": 0.5},
            "duration must be above 0 and at most the window of 0.50 seconds, got 0.7",
        ),
        (
            "kick",
            {"duration": 1e-6},
            "duration must be at least one sample of 1/16000 seconds, got 1e-06",
        ),
        *(
            (
                "kick",
                {"window": window},
                f"window must be above 0 and at most the model's 1.00 seconds, got {window}",
            )
            for window in (0, -1, 1.5, math.nan)
        ),
        (
            "kick",
            {"window": 1e-6},
            "window must be at least one sample of 1/16000 seconds, got 1e-06",
        ),
        *(
            ("kick", {"seconds_start": start}, f"seconds_start must be at least 0, got {start}")
            for start in (-1, math.nan, math.inf)
        ),
        ("kick", {"steps": 0}, "steps must be at least 1, got 0"),
        ("kick", {"steps": 10**10}, "steps must be at most 10000, got 10000000000"),
        *(
            (
                "kick",
                {"sigma_min": low, "sigma_max": high},
                "sigma_min and sigma_max must satisfy 0 < sigma_min < sigma_max, got "
                f"{low} and {high}",
            )
            for low, high in ((0.0, 500.0), (2.0, 1.0), (0.3, math.inf))
        ),
        (
            "kick",
            {"schedule": "cosine"},
            "unknown schedule 'cosine'; choose from ['polyexponential', 'karras', 'log-snr', "
            "'linear']",
        ),
        (
            "kick",
            {"sampler": "chorus"},
            'unknown sampler "chorus"; allowed: dpmpp-2m, dpmpp-2m-sde, dpmpp-3m-sde, euler, heun, '
            "rk4, ddim, ping-pong, or k-diffusion:NAME with the k-diffusion extra",
        ),
        (
            "kick",
            {"sampler": "dpmpp2m"},
            'unknown sampler "dpmpp2m"; did you mean "dpmpp-2m"? Allowed: dpmpp-2m, dpmpp-2m-sde, '
            "dpmpp-3m-sde, euler, heun, rk4, ddim, ping-pong, or k-diffusion:NAME with the "
            "k-diffusion extra",
        ),
        (
            "kick",
            {"guidance_scale": math.nan},
            "guidance scale must be a finite number, got nan",
        ),
        (
            "kick",
            {"guidance_rescale": 1.5},
            "guidance rescale must be between 0 and 1, got 1.5",
        ),
        (
            "kick",
            {"guidance_interval": (5.0, 1.0)},
            "guidance interval must be (low, high) in sigma with 0 <= low <= high, got (5.0, 1.0)",
        ),
        (["kick"] * 2, {"seed": [1]}, "give one seed or one per item, got 1 for 2 items"),
        ("kick", {"seed": -1}, "seed must be between 0 and 4294967295, got -1"),
        ("kick", {"seed": 2**32}, "seed must be between 0 and 4294967295, got 4294967296"),
        *(
            (
                "kick",
                {"init_audio": sound(), "init_strength": strength},
                f"init_strength must be between 0 and 1, got {strength}",
            )
            for strength in (-0.5, 1.2, math.nan)
        ),
        (
            "kick",
            {"init_strength": 0.3},
            "init_strength 0.3 says how much is left of init_audio, which is missing; give "
            "init_audio too",
        ),
        (
            "kick",
            {"init_audio": sound(), "init_strength": 0.3, "init_noise_level": 3.0},
            "init_strength 0.3 and init_noise_level 3 are two starts from one sound; give one of "
            "them",
        ),
        ("kick", {"init_audio": sound(items=2)}, "init_audio must hold 1 item, got 2"),
        (
            ["kick"] * 3,
            {"init_audio": sound(items=2)},
            "init_audio must hold 1 item or one for each of 3 prompts, got 2",
        ),
        (
            "kick",
            {"init_audio": sound(value=math.nan)},
            "init_audio holds NaN or infinite samples; repair the recording",
        ),
        (
            ["kick", "ki\udcffck"],
            {},
            "prompt holds what is no character at place 3 (bytes that are not UTF-8, or half of a "
            "pair); type that part again",
        ),
        ("kick", {"sigma_max": 1e308}, "sigma_max must be between 1e-12 and 1e+06, got 1e+308"),
        ("kick", {"sigma_max": 1e200}, "sigma_max must be between 1e-12 and 1e+06, got 1e+200"),
        ("kick", {"sigma_min": 1e-200}, "sigma_min must be between 1e-12 and 1e+06, got 1e-200"),
        (
            "kick",
            {"sigma_max": 1e40, "schedule": "log-snr"},
            "sigma_max must be between 1e-12 and 1e+06, got 1e+40",
        ),
        (
            "kick",
            {"init_audio": sound(channels=6)},
            "init_audio: cannot turn audio of 6 channels into 2; only 1 to 2 and 2 to 1 are "
            "defined: mix the file down to stereo first",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    random_model: LatentDiffusion, prompt: str | list[str], given: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011, the whole message is compared
        generate(random_model, prompt, **({"steps": 1, "progress": False} | given))
    assert str(caught.value) == message
