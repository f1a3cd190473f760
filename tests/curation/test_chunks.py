import json
import random
from itertools import pairwise
from pathlib import Path

import pytest

from stable_audio_open.curation.training_set.chunks import (
    ChunkSettings,
    draw_chunks,
    recording_chunks,
    write_chunks,
)


def overlapping(spans: list[tuple[float, float]]) -> bool:
    ordered = sorted(spans)
    return any(a[0] + a[1] > b[0] for a, b in pairwise(ordered))


@pytest.mark.parametrize(
    ("duration", "passes", "expected"),
    [
        (300.0, 1, 3),
        (300.0, 2, 6),
        (30.0, 2, 6),
        (15.0, 1, 3),
        (14.9, 1, 2),
        (9.9, 1, 1),
        (5.0, 1, 1),
        (10.0, 2, 4),
    ],
)
def test_counts_bounds_and_overlap(duration: float, passes: int, expected: int) -> None:
    for seed in range(50):
        spans = draw_chunks(duration, random.Random(seed), passes=passes)
        assert len(spans) == expected
        assert all(start >= 0 and length == 5 for start, length in spans)
        assert all(start + length <= duration + 1e-9 for start, length in spans)
        if duration >= 5 * expected:
            assert not overlapping(spans)
        half = expected // passes
        assert not any(overlapping(spans[i : i + half]) for i in range(0, expected, half))


def test_a_short_recording_is_taken_whole_in_each_pass() -> None:
    assert draw_chunks(2.5, random.Random(0)) == [(0.0, 2.5)]
    assert draw_chunks(2.5, random.Random(0), passes=2) == [(0.0, 2.5)] * 2
    with pytest.raises(ValueError, match=r"a recording of 0\.0 s has no chunks"):
        draw_chunks(0.0, random.Random(0))


def test_every_place_is_reached_alike() -> None:
    rng = random.Random(1)
    starts = [span.start for _ in range(20_000) for span in draw_chunks(25.0, rng, most=1)]
    counts = [sum(4 * k <= start < 4 * k + 4 for start in starts) for k in range(5)]
    assert sum((count - 4000) ** 2 / 4000 for count in counts) < 18.47  # chi-square, 0.999
    # Middle of the room that two chunks leave, whichever of the two.
    means = [sum(s.start for s in draw_chunks(25.0, rng, most=2)) / 2 for _ in range(20_000)]
    assert sum(means) / len(means) == pytest.approx(10.0, abs=0.1)


def test_recordings_by_seed_name_and_subset() -> None:
    def chunks(name: str, high: bool, seed: int = 0) -> list[tuple[float, bool]]:
        found = recording_chunks("a.wav", 120.0, name=name, high_fidelity=high, seed=seed)
        return [(chunk.start, chunk.high_fidelity) for chunk in found]

    assert chunks("freesound:1", False) == chunks("freesound:1", False)
    assert chunks("freesound:1", False) != chunks("freesound:2", False)
    assert chunks("freesound:1", False) != chunks("freesound:1", False, seed=1)
    assert [high for _, high in chunks("freesound:1", False)] == [False] * 3
    assert [high for _, high in chunks("freesound:1", True)] == [True] * 6
    assert [high for _, high in chunks("fma:1", False)] == [True] * 3
    assert [high for _, high in chunks("fma:1", True)] == [True] * 3


def test_the_list(tmp_path: Path) -> None:
    settings = ChunkSettings(seconds=2.0, most=1)
    chunks = recording_chunks("é.wav", 2.0, name="x:1", high_fidelity=False, settings=settings)
    assert write_chunks(tmp_path / "chunks.jsonl", chunks) == 1
    (line,) = (tmp_path / "chunks.jsonl").read_text("utf-8").splitlines()
    assert json.loads(line) == {
        "file": "é.wav",
        "start": 0.0,
        "duration": 2.0,
        "high_fidelity": False,
    }
    assert write_chunks(tmp_path / "none.jsonl", []) == 0
    with pytest.raises(ValueError, match="most must be positive, got 0"):
        ChunkSettings(most=0)
