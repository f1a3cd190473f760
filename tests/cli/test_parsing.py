"""Pairs in the values of options."""

import math

import pytest

from stable_audio_open.cli import parsing


def test_prompts_are_mixed_by_shares() -> None:
    assert parsing.mixed("rain", None) == "rain"
    assert parsing.mixed("rain", ["0.25:fire: 3"]) == [("rain", 0.75), ("fire: 3", 0.25)]
    (_, own), *others = parsing.mixed("rain", ["0.3:fire", "0.2:wind"])
    assert own == pytest.approx(0.5)
    assert others == [("fire", 0.3), ("wind", 0.2)]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (["1:fire"], "together below 1, got 1;"),
        (["0.6:fire", "0.5:wind"], "together below 1, got 1.1;"),
        (["0:fire"], "must be above 0 and together below 1, got 0; what is left is the prompt's"),
        (["-0.1:fire"], "must be above 0"),
        (["nan:fire"], "must be above 0 and together below 1, got nan"),
        (["fire"], "'fire': give a share below 1, a colon and the prompt, such as 0.3:fire"),
    ],
)
def test_shares_leave_something_for_the_prompt(shares: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=f"^--mix:? .*{message}"):
        parsing.mixed("rain", shares)


def test_scales_stand_at_noise_levels() -> None:
    assert parsing.scales_at(None) == []
    assert parsing.scales_at(["1:2", "1e2:5.5"]) == [(1.0, 2.0), (100.0, 5.5)]
    for wrong in ("7", "1:", "x:2", ":3"):
        with pytest.raises(ValueError, match=f"^--guidance-at '{wrong}': give a noise level, a"):
            parsing.scales_at([wrong])


def test_names_have_one_value() -> None:
    assert parsing.conditions(["bpm=120", "swing=.5"]) == {"bpm": 120.0, "swing": 0.5}
    assert parsing.conditions([]) is None
    assert {name: str(file) for name, file in parsing.sounds(["init-audio=a=b.wav"]).items()} == {
        "init_audio": "a=b.wav"
    }
    for wrong in (["a"], ["=a.wav"], ["a="]):
        with pytest.raises(ValueError, match=f"^--sound {wrong[0]}: give NAME=FILE, such as init"):
            parsing.sounds(wrong)
    with pytest.raises(ValueError, match=r"^--sound a=c: a is given twice$"):
        parsing.sounds(["a=b", "a=c"])


def test_adapters_have_a_weight_an_interval_and_layers() -> None:
    everything = {"weight": 0.5, "interval": (1.0, 80.0), "layers": (0, 1, 2, 7, "*.cross_a-b.*")}
    assert parsing.adapters(None) == []
    assert parsing.adapters(
        [
            "lora",
            "a:0.5",
            "C:/lora",
            "C:/lora:2",
            "lora:sigma=..80",
            "lora:-1:layers=3",
            "lora:sigma=1e-3..",
            "x:0.5:sigma=1..80:layers=0-2,7,*.cross_a-b.*",
            "x:0.5:layers=0-2,7,*.cross_a-b.*:sigma=1..80",
        ]
    ) == [
        ("lora", 1.0),
        ("a", 0.5),
        ("C:/lora", 1.0),
        ("C:/lora", 2.0),
        ("lora", {"weight": 1.0, "interval": (0.0, 80.0)}),
        ("lora", {"weight": -1.0, "layers": (3,)}),
        ("lora", {"weight": 1.0, "interval": (0.001, math.inf)}),
        ("x", everything),
        ("x", everything),
    ]


@pytest.mark.parametrize(
    "limits",
    [
        *("sigma=", "sigma=..", "sigma=3", "sigma=80..1", "sigma=-1..3", "sigma=a..b"),
        *("sigma=nan..3", "layers=", "layers=0,,1"),
    ],
)
def test_limits_of_another_form_are_refused(limits: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        parsing.adapters([f"lora:{limits}"])
    assert str(caught.value) == (
        f"--lora lora:{limits}: give FOLDER:0.5:sigma=LOW..HIGH:layers=0-3,PATTERN; each part but "
        "the folder may be left out"
    )


def test_limits_are_given_once_and_not_to_what_is_measured() -> None:
    with pytest.raises(
        ValueError, match=r"^--lora x:sigma=1\.\.2:sigma=3\.\.4: sigma= is given tw"
    ):
        parsing.adapters(["x:sigma=1..2:sigma=3..4"])
    with pytest.raises(
        ValueError, match=r"^--lora x:nan:layers=1: the weight must be a finite num"
    ):
        parsing.adapters(["x:nan:layers=1"])
    assert parsing.merged_adapters(["x:0.5", "y"]) == [("x", 0.5), ("y", 1.0)]
    with pytest.raises(
        ValueError, match="is measured as a whole, with a weight alone; leave out lay"
    ):
        parsing.merged_adapters(["x:0.5:layers=1"])
