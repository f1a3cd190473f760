"""Arguments of a wrong type give one line, with their name and what is wanted."""

from typing import Any

import numpy as np
import pytest
import torch

from stable_audio_open.generate import generate
from stable_audio_open.latent_diffusion import LatentDiffusion

TEXTS = "must be a text, a list of texts, or texts with weights, got"


@pytest.mark.parametrize(
    ("prompt", "given", "message"),
    [
        (None, {}, f"prompt {TEXTS} None (NoneType)"),
        (7, {}, f"prompt {TEXTS} 7 (int)"),
        ("kick", {"negative_prompt": 3.5}, f"negative_prompt {TEXTS} 3.5 (float)"),
        ("kick", {"seed": "7"}, "seed must be an integer, got '7' (str)"),
        ("kick", {"seed": 7.0}, "seed must be an integer, got 7.0 (float)"),
        (["kick"] * 2, {"seed": [1, "2"]}, "seed must be an integer, got '2' (str)"),
        ("kick", {"steps": 2.5}, "steps must be an integer, got 2.5 (float)"),
        ("kick", {"steps": True}, "steps must be an integer, got True (bool)"),
        ("kick", {"duration": "1"}, "duration must be a number, got '1' (str)"),
        ("kick", {"window": "1"}, "window must be a number, got '1' (str)"),
        ("kick", {"seconds_start": "0"}, "seconds_start must be a number, got '0' (str)"),
        ("kick", {"guidance_scale": "7"}, "guidance_scale must be a number, got '7' (str)"),
        ("kick", {"guidance_scale": ["7"]}, "guidance_scale must be a number, got '7' (str)"),
        ("kick", {"sigma_min": "1"}, "sigma_min must be a number, got '1' (str)"),
        ("kick", {"guidance_rescale": "1"}, "guidance_rescale must be a number, got '1' (str)"),
        ("kick", {"sampler": 3}, "sampler must be a name, got 3 (int)"),
        ("kick", {"schedule": 3}, "schedule must be a name, got 3 (int)"),
        ("kick", {"init_strength": "1"}, "init_strength must be a number, got '1' (str)"),
        (
            "kick",
            {"init_audio": (44100, np.array(["a"]))},
            "init_audio: samples must be numbers, got array(['a'], dtype='<U1') (ndarray)",
        ),
        (
            "kick",
            {"init_audio": np.array(1.0)},
            "init_audio must be a path, an Audio, (tensor [channels, time], rate) or (rate, array "
            "[time, channels]), got ndarray",
        ),
        (
            "kick",
            {"init_audio": np.zeros(4)},
            "init_audio must be a path, an Audio, (tensor [channels, time], rate) or (rate, array "
            "[time, channels]), got ndarray",
        ),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_one_line(
    random_model: LatentDiffusion, prompt: Any, given: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError) as caught:
        generate(random_model, prompt, **{"steps": 1, "progress": False} | given)
    assert str(caught.value) == message


@pytest.mark.usefixtures("types_unchecked")
def test_numbers_of_numpy_are_numbers(random_model: LatentDiffusion) -> None:
    plain = generate(random_model, "kick", steps=2, seed=3, duration=0.5, progress=False)
    found = generate(
        random_model,
        "kick",
        steps=2,
        seed=[np.int64(3)],  # type: ignore[list-item]
        duration=np.float32(0.5),  # type: ignore[arg-type]
        progress=False,
    )
    assert torch.equal(found.samples, plain.samples)


def test_audio_of_another_type_than_the_weights(random_model: LatentDiffusion) -> None:
    with pytest.raises(TypeError) as caught:
        random_model.autoencoder.encode(torch.zeros(1, 2, 64, dtype=torch.float64))
    assert str(caught.value) == (
        "audio is torch.float64 and the weights are torch.float32; pass audio.to(autoencoder.dtype)"
    )
