from pathlib import Path

import pytest

from stable_audio_open.curation.duplicates.calibration import LabelledPair, calibrate, read_pairs


def test_the_table_and_both_thresholds() -> None:
    found = calibrate([0.99, 0.95, 0.9, 0.8, 0.5], [True, True, False, True, False])
    assert found.rows == [
        (0.99, 1.0, pytest.approx(1 / 3)),
        (0.95, 1.0, pytest.approx(2 / 3)),
        (0.9, pytest.approx(2 / 3), pytest.approx(2 / 3)),
        (0.8, 0.75, 1.0),
        (0.5, 0.6, 1.0),
    ]
    assert (found.no_false_positives, found.no_false_negatives) == (0.95, 0.8)


def test_pairs_that_are_or_are_not_separable() -> None:
    apart = calibrate([0.9, 0.8, 0.3], [True, True, False])
    assert apart.no_false_positives == apart.no_false_negatives == 0.8
    assert calibrate([0.9, 0.8], [True, True]).no_false_positives == 0.8
    assert calibrate([0.8, 0.9], [True, False]).no_false_positives is None
    tied = calibrate([0.9, 0.9], [True, False])
    assert tied.rows == [(0.9, 0.5, 1.0)]
    assert tied.no_false_positives is None
    with pytest.raises(ValueError, match="no pair is labelled as copies"):
        calibrate([0.5], [False])


def test_reading_pairs(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    path.write_text('a,b,label\nfma:1,fma:2,1\n\n"x,1",y,False\n')
    assert read_pairs(path) == [
        LabelledPair("fma:1", "fma:2", True),
        LabelledPair("x,1", "y", False),
    ]
    path.write_text("a,b,label\nfma:1,fma:2,maybe\n")
    with pytest.raises(ValueError, match=r"pairs\.csv:2: 'fma:1,fma:2,maybe' is not a pair"):
        read_pairs(path)
    path.write_text("a;b;label\n")
    with pytest.raises(ValueError, match=r"pairs\.csv:1: .* they must be a,b,label"):
        read_pairs(path)
