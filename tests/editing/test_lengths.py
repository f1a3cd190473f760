"""Lengths of sounds, in every form and for every item, and tempos in prompts."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.editing.generate import generate
from stable_audio_open.editing.loops import with_tempo
from stable_audio_open.latent_diffusion import LatentDiffusion


def make(model: LatentDiffusion, prompt: Any = "deep kick", **given: Any) -> Audio:
    return generate(model, prompt, **{"steps": 1, "seed": 1, "progress": False} | given)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ({"duration": [0.5]}, ValueError, "give one duration or one per item, got 1 for 2 items"),
        ({"duration": []}, ValueError, "duration is an empty list; give at least one number"),
        (
            {"duration": [2.5] * 3},
            ValueError,
            "give one duration or one per item, got 3 for 2 items",
        ),
        (
            {"duration": [0.5] * 3, "loop": True},
            ValueError,
            "give one duration or one per item, got 3 for 2 items",
        ),
        *(
            (
                {"duration": [0.5, bad]},
                ValueError,
                f"duration must be above 0 and at most 3600 seconds, got {bad}",
            )
            for bad in (math.nan, math.inf, -1.0, 0)
        ),
        ({"duration": [0.5, "1"]}, TypeError, "duration must be a number, got '1' (str)"),
        ({"duration": "11"}, TypeError, "duration must be a number, got '11' (str)"),
        ({"duration": [0.5, None]}, TypeError, "duration must be a number, got None (NoneType)"),
        ({"duration": [0.5, True]}, TypeError, "duration must be a number, got True (bool)"),
        (
            {"duration": np.array([0.5, 0.6])},
            TypeError,
            "duration must be a number, got array([0.5, 0.6]) (ndarray)",
        ),
        ({"duration": {0.5: 1}}, TypeError, "duration must be a number, got {0.5: 1} (dict)"),
        (
            {"duration": [2.5, 3]},
            ValueError,
            "sounds that are longer than the window, or change their prompt, of a batch last "
            "equally long, got durations [2.5, 3]; make them one by one",
        ),
        (
            {"samples": 10**12},
            ValueError,
            "samples must be at most 57600000 (3600 seconds), got 1000000000000",
        ),
        ({"samples": 2.0}, TypeError, "samples must be an integer, got 2.0 (float)"),
        ({"loop": 1}, TypeError, "loop must be True or False, got 1 (int)"),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_lengths_that_make_no_sense(
    random_model: LatentDiffusion, given: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        make(random_model, ["kick", "bell"], **given)
    assert str(caught.value) == message


@pytest.mark.usefixtures("types_unchecked")
@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"duration": np.float32(0.5), "seed": np.int64(1)}, {"duration": 0.5}),
        ({"duration": [np.float64(0.5)], "steps": np.int32(1)}, {"duration": [0.5]}),
        ({"samples": np.int64(9000), "guidance_scale": np.float32(3)},
         {"samples": 9000, "guidance_scale": 3.0}),
        ({"duration": np.float32(2.3)}, {"duration": float(np.float32(2.3))}),
        ({"loop": True, "bars": np.int64(1), "bpm": np.float64(120)},
         {"loop": True, "bars": 1, "bpm": 120}),
    ],
)  # fmt: skip
def test_numbers_of_numpy_are_numbers(
    random_model: LatentDiffusion, given: dict[str, Any], plain: dict[str, Any]
) -> None:
    found, expected = make(random_model, **given), make(random_model, **plain)
    assert torch.equal(found.samples, expected.samples)


def test_a_list_of_one_is_one(random_model: LatentDiffusion) -> None:
    for given in ({"duration": 2.5}, {"duration": 0.5}, {"loop": True, "duration": 0.5}):
        alone = make(random_model, **given)
        listed = make(
            random_model, ["deep kick"], **given | {"duration": [given["duration"]], "seed": [1]}
        )
        assert torch.equal(listed.samples, alone.samples)


RAIN, FIRE = ("rain", 0.7), ("fire", 0.3)
TOLD = (("rain, 120 BPM", 0.7), ("fire, 120 BPM", 0.3))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("rain", "rain, 120 BPM"),
        ("rain at 90 bpm", "rain at 90 bpm"),
        (("rain", "fire"), ("rain, 120 BPM", "fire, 120 BPM")),
        ([RAIN, FIRE], [*TOLD]),
        ([[RAIN, FIRE], "rain"], [[*TOLD], "rain, 120 BPM"]),
        # Tuples everywhere, as the tags of a file give them.
        (((RAIN, FIRE), "rain"), (TOLD, "rain, 120 BPM")),
        ([(0, "rain"), (1, "fire")], [(0, "rain, 120 BPM"), (1, "fire, 120 BPM")]),
        ([((0, "rain"), (1, "fire"))], [((0, "rain, 120 BPM"), (1, "fire, 120 BPM"))]),
        ([[[0, "rain"], [1, "fire"]]], [[[0, "rain, 120 BPM"], [1, "fire, 120 BPM"]]]),
        ("", ""),
        (["rain", None], ["rain, 120 BPM", None]),
        (7, 7),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_the_tempo_joins_every_text(prompt: Any, expected: Any) -> None:
    assert with_tempo(prompt, 120) == expected


@pytest.mark.parametrize(
    ("prompt", "kind", "message"),
    [
        ("", ValueError, "prompt is empty; describe the sound in a few words"),
        (["kick", ""], ValueError, "prompt is empty; describe the sound in a few words"),
        (
            ["kick", None],
            TypeError,
            "prompt of an item must be a text or a list of (text, weight), got None (NoneType)",
        ),
        (
            None,
            TypeError,
            "prompt must be a text, a list of texts, or texts with weights, got None (NoneType)",
        ),
    ],
)
@pytest.mark.usefixtures("types_unchecked")
def test_a_tempo_hides_no_fault_of_a_prompt(
    random_model: LatentDiffusion, prompt: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as caught:
        make(random_model, prompt, loop=True, bars=1, bpm=240)
    assert str(caught.value) == message
