from itertools import groupby

import pytest
import torch

from stable_audio_open.curation.music.gate import (
    class_columns,
    critical_threshold,
    music_seconds,
)
from stable_audio_open.settings import Counting, MusicGate

CLASSES = ("Speech", "Music", "Singing")
#                       speech music singing
FRAMES = torch.tensor(
    [
        [0.9, 0.15, 0.0],  # at the threshold
        [0.9, 0.0, 0.5],  # another class goes on
        [0.9, 0.14, 0.1],
        [0.0, 0.7, 0.0],
        [0.0, 0.8, 0.0],
        [0.0, 0.2, 0.9],
    ]
)


@pytest.mark.parametrize(
    ("counting", "classes", "seconds"),
    [
        ("total", ["Music", "Singing"], 2.5),
        ("contiguous", ["Music", "Singing"], 1.5),
        ("total", ["Singing"], 1.0),
        ("contiguous", ["Singing"], 0.5),
        ("total", ["Speech"], 1.5),
    ],
)
def test_seconds(counting: Counting, classes: list[str], seconds: float) -> None:
    found = music_seconds(
        FRAMES,
        columns=class_columns(classes, CLASSES),
        seconds_per_frame=0.5,
        threshold=0.15,
        counting=counting,
    )
    assert found == seconds


@pytest.mark.parametrize("counting", ["total", "contiguous"])
def test_no_music_and_nothing_else(counting: Counting) -> None:
    for value, seconds in ((0.0, 0.0), (1.0, 5.0)):
        found = music_seconds(
            torch.full((10, 1), value),
            columns=[0],
            seconds_per_frame=0.5,
            threshold=0.15,
            counting=counting,
        )
        assert found == seconds


def test_the_longest_stretch_is_that_of_a_plain_count() -> None:
    values = torch.rand(500, 1, generator=torch.Generator().manual_seed(0))
    runs = groupby((values[:, 0] >= 0.3).tolist())
    longest = max(len(list(run)) for active, run in runs if active)
    found = music_seconds(
        values, columns=[0], seconds_per_frame=1.0, threshold=0.3, counting="contiguous"
    )
    assert found == longest > 5


@pytest.mark.parametrize("counting", ["total", "contiguous"])
@pytest.mark.parametrize("seconds", [0.3, 0.7, 3.0, 9.9, 10.0])
def test_the_critical_threshold_is_the_last_that_counts(counting: Counting, seconds: float) -> None:
    values = torch.rand(100, generator=torch.Generator().manual_seed(1))
    critical = critical_threshold(values, seconds_per_frame=0.1, seconds=seconds, counting=counting)
    assert critical is not None

    def counted(threshold: float) -> float:
        return music_seconds(
            values[:, None],
            columns=[0],
            seconds_per_frame=0.1,
            threshold=threshold,
            counting=counting,
        )

    assert counted(critical) >= seconds - 1e-9
    assert counted(critical + 1e-6) < seconds - 1e-9
    assert (
        critical_threshold(values, seconds_per_frame=0.1, seconds=10.1, counting=counting) is None
    )


def test_wrong_settings() -> None:
    assert MusicGate() == MusicGate(threshold=0.15, seconds=30.0, counting="total", classes=())
    with pytest.raises(ValueError, match="threshold must be above 0 and at most 1, got 15"):
        MusicGate(threshold=15.0)
    with pytest.raises(ValueError, match="seconds must be positive, got 0"):
        MusicGate(seconds=0.0)
    with pytest.raises(ValueError, match='no class "music"; did you mean "Music"'):
        class_columns(["music"], CLASSES)
    with pytest.raises(ValueError, match='no class "xylophone"; see its list'):
        class_columns(["xylophone"], ("Speech",))
