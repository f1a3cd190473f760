import csv
import logging
from pathlib import Path

import pytest
import torch

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.data.faults import EmptyBatch, Fault, Faults, collate, write_report


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_recording_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    faults = Faults(tmp_path / "run" / "bad.csv", recordings=10, most=0.5)
    with caplog.at_level(logging.WARNING):
        for file in ("a.wav", "b.wav", "a.wav"):
            faults.add(file, f'{file}: is "empty", really')
    assert rows(tmp_path / "run" / "bad.csv") == [
        {"file": "a.wav", "reason": 'a.wav: is "empty", really'},
        {"file": "b.wav", "reason": 'b.wav: is "empty", really'},
    ]
    assert len(caplog.records) == 2


def test_no_cell_is_a_formula_and_a_resumed_run_knows_the_files(tmp_path: Path) -> None:
    report = tmp_path / "bad.csv"
    Faults(report, recordings=10, most=0.5).add("=cmd|'!A0.wav", "-x.wav: is empty")
    assert rows(report) == [{"file": "'=cmd|'!A0.wav", "reason": "'-x.wav: is empty"}]
    assert Faults(report, recordings=10, most=0.5).reasons == {"=cmd|'!A0.wav": "-x.wav: is empty"}
    write_report(report, [Fault("@a.wav", "+b")])
    assert rows(report) == [{"file": "'@a.wav", "reason": "'+b"}]


def test_a_resumed_run_goes_on_counting(tmp_path: Path) -> None:
    report = tmp_path / "bad.csv"
    Faults(report, recordings=10, most=0.1).add("a.wav", "broken")
    again = Faults(report, recordings=10, most=0.1)
    assert again.reasons == {"a.wav": "broken"}
    again.add("a.wav", "broken")
    with pytest.raises(
        AudioFileError, match=r"^2 of 10 recordings cannot be used, more than .* 0\.1"
    ):
        again.add("b.wav", "b.wav: is empty")


def test_a_run_that_ended_for_a_fault_ends_for_it_again(tmp_path: Path) -> None:
    report = tmp_path / "bad.csv"
    for _ in range(2):
        faults = Faults(report, recordings=9, most=0.0, limit="encode them again")
        with pytest.raises(AudioFileError, match=r"share of 0 \(encode them again\); .*: a is e"):
            faults.add("a.wav", "a is empty")
    assert rows(report) == [{"file": "a.wav", "reason": "a is empty"}]


def test_no_fault_is_allowed_where_the_share_is_0(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match=r"bad\.csv; the last one: a\.wav: is empty"):
        Faults(tmp_path / "bad.csv", recordings=10, most=0).add("a.wav", "a.wav: is empty")


def test_a_batch_holds_what_could_be_read() -> None:
    fault = Fault("b.wav", "b.wav: is empty")
    items = [{"audio": torch.ones(2, 3), "file": "a.wav"}, fault]
    batch = collate([*items, {"audio": torch.zeros(2, 3), "file": "c.wav"}])
    assert batch["audio"].shape == (2, 2, 3)
    assert batch["file"] == ["a.wav", "c.wav"]
    assert batch["faults"] == [fault]
    assert collate(items[:1])["faults"] == []


def test_a_batch_of_nothing_says_so() -> None:
    faults = [Fault("a.wav", "a.wav: is empty"), Fault("b.wav", "b.wav: is empty")]
    assert collate(faults) == EmptyBatch(faults)


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    """By a kill; the next one starts on a line of its own."""
    report = tmp_path / "unusable.csv"
    Faults(report, recordings=9, most=1.0).add("a.wav", "first")
    report.write_bytes(report.read_bytes() + b"b.wa")
    again = Faults(report, recordings=9, most=1.0)
    assert again.reasons == {"a.wav": "first"}
    again.add("c.wav", "third")
    known = Faults(report, recordings=9, most=1.0).reasons
    assert known == {"a.wav": "first", "c.wav": "third"}


@pytest.mark.parametrize(
    "left", [b"", b"\xef\xbb\xbf", b"file", b"file,reason", b"file,reason\r\n"]
)
def test_a_report_that_was_hardly_begun_is_none(left: bytes, tmp_path: Path) -> None:
    """A full disk left an empty file."""
    report = tmp_path / "unusable.csv"
    report.write_bytes(left)
    faults = Faults(report, recordings=9, most=1.0)
    assert faults.reasons == {}
    faults.add("a.wav", "first")
    assert Faults(report, recordings=9, most=1.0).reasons == {"a.wav": "first"}


def test_a_row_may_be_cut_anywhere(tmp_path: Path) -> None:
    """Inside of a quoted reason of two lines too, which does not swallow the next row."""
    report = tmp_path / "unusable.csv"
    Faults(report, recordings=9, most=1.0).add("a.wav", 'first, "quoted"\nof two lines')
    known = report.read_bytes()
    Faults(report, recordings=9, most=1.0).add("b,\n.wav", 'second, "é"\r\nof two')
    whole = report.read_bytes()
    for size in range(len(known), len(whole)):
        report.write_bytes(whole[:size])
        again = Faults(report, recordings=9, most=1.0)
        assert list(again.reasons) == ["a.wav"]
        again.add("c.wav", "third")
        found = Faults(report, recordings=9, most=1.0).reasons
        assert found == {"a.wav": 'first, "quoted"\nof two lines', "c.wav": "third"}


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"name,why\r\n", "its columns are not file, reason; put it aside, and"),
        (b"file,reason\r\na.wav\r\n", "row 2 has 1 cells instead of 2; correct it, or put"),
        (b"file,reason\r\na,b\r\na,b,c\r\n", "row 3 has 3 cells instead of 2; correct it, or"),
    ],
)
def test_a_report_of_another_kind_is_named(content: bytes, fault: str, tmp_path: Path) -> None:
    report = tmp_path / "unusable.csv"
    report.write_bytes(content)
    with pytest.raises(ValueError, match=f"unusable.csv: {fault}"):
        Faults(report, recordings=9, most=1.0)
