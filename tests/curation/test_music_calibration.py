from pathlib import Path

import pytest
import torch

from stable_audio_open.curation.music.calibration import (
    Labelled,
    calibrate,
    critical_of,
    read_labels,
    table,
)
from stable_audio_open.curation.music.tagging import TaggedRecording

SET = [
    Labelled("a", True, 0.8),
    Labelled("b", True, 0.123456),
    Labelled("c", False, 0.5),
    Labelled("d", False, 0.12341),
    Labelled("e", False, 0.1),
    Labelled("f", False, None),
]


def test_the_highest_threshold_that_misses_none() -> None:
    chosen = calibrate(SET)
    assert chosen == 0.1234
    rows = {row.threshold: row[1:] for row in table(SET, chosen)}
    assert rows[chosen] == (0, 2)
    assert rows[0.06170] == (0, 3)
    assert rows[0.1357] == (1, 1)
    assert list(rows) == sorted(rows)


@pytest.mark.parametrize("value", [0.9999, 0.5, 0.1, 0.012345, 3e-5, 1.0])
def test_rounding_never_misses(value: float) -> None:
    chosen = calibrate([Labelled("a", True, value)])
    assert value * 0.999 < chosen <= value


def test_no_threshold_finds_all() -> None:
    with pytest.raises(ValueError, match=r"1 recordings labelled as music are shorter .* s among"):
        calibrate([*SET, Labelled("s", True, None)])
    with pytest.raises(ValueError, match=r"z: labelled as music, but tagged as music .* above 0"):
        calibrate([*SET, Labelled("z", True, 0.0)])


def test_a_last_frame_beyond_the_end_counts_as_for_the_gate() -> None:
    heard = TaggedRecording(torch.tensor([0.5, 0.4, 0.3]), torch.zeros(1), duration=5.0)
    for seconds, wanted in [(2.0, 0.5), (4.0, 0.4), (5.0, 0.3)]:
        found = critical_of(heard, seconds_per_frame=2.0, seconds=seconds, counting="total")
        assert found == pytest.approx(wanted)
    assert critical_of(heard, seconds_per_frame=2.0, seconds=5.5, counting="total") is None


def test_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("file,label\na.wav,1\nb.wav,0\n")
    assert read_labels(path) == [("a.wav", True), ("b.wav", False)]
    path.write_text("file,label\na.wav,1\nb.wav,music\n")
    with pytest.raises(ValueError, match=r"labels\.csv:3: expected a file and 1 .* 'b.wav', 'mus"):
        read_labels(path)
    path.write_text("file,label\na.wav,0\n")
    with pytest.raises(ValueError, match="no recording is labelled 1"):
        read_labels(path)
    path.write_text("name,label\n")
    with pytest.raises(ValueError, match=r"the columns are \['name', 'label'\]"):
        read_labels(path)
