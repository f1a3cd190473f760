from pathlib import Path

import pytest

from stable_audio_open.curation.catalogue.decisions import (
    Decision,
    add_decisions,
    final_decisions,
    now,
    read_decisions,
)
from tests.full_disk import full_disk


def decision(verdict: str, stage: str = "music", **changes: str) -> Decision:
    fields = {"id": "fma:1", "reason": "r", "by": "b", "at": now()} | changes
    return Decision(verdict=verdict, stage=stage, **fields)  # type: ignore[arg-type]


def test_decisions_are_appended_and_kept(tmp_path: Path) -> None:
    assert read_decisions(tmp_path) == []
    first, second = decision("review"), decision("keep", "review", reason="mine\nown")
    assert add_decisions(tmp_path, [first]) == 1
    assert add_decisions(tmp_path, [second]) == 1
    assert read_decisions(tmp_path) == [first, second]
    assert first.at.endswith("+00:00")


@pytest.mark.parametrize("broken", [b'{"id": 3}\n', b'{"id": "\xff"}\n'])
def test_damage_is_told_by_line(broken: bytes, tmp_path: Path) -> None:
    add_decisions(tmp_path, [decision("drop")])
    with (tmp_path / "decisions.jsonl").open("ab") as file:
        file.write(broken)
    with pytest.raises(ValueError, match=r"decisions\.jsonl:2: not a decision"):
        read_decisions(tmp_path)


@pytest.mark.parametrize("left", [1, 20, -1])
def test_a_last_line_that_was_cut_off_is_dropped_with_a_word(
    left: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A kill or a power cut came amid it."""
    first, second, third = (decision("drop", reason=reason) for reason in ("one", "two", "three"))
    add_decisions(tmp_path, [first])
    path = tmp_path / "decisions.jsonl"
    start = path.stat().st_size
    add_decisions(tmp_path, [second])
    content = path.read_bytes()
    whole = len(content) - 1
    path.write_bytes(content[: start + left if left > 0 else whole + left])
    assert read_decisions(tmp_path) == [first]
    assert caplog.messages == [f"{path}:2: the line was cut off; it is passed over"]
    caplog.clear()
    add_decisions(tmp_path, [third])
    assert caplog.messages == [f"{path}: the last line was cut off; it is removed"]
    assert read_decisions(tmp_path) == [first, third]


def test_a_last_line_without_its_end_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = decision("drop", reason="one"), decision("drop", reason="two")
    add_decisions(tmp_path, [first])
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    assert read_decisions(tmp_path) == [first]
    add_decisions(tmp_path, [second])
    assert read_decisions(tmp_path) == [first, second]
    assert caplog.messages == []


def test_a_cut_line_amid_others_is_an_error(tmp_path: Path) -> None:
    add_decisions(tmp_path, [decision("drop")])
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(path.read_bytes()[:-9] + b"\n" + path.read_bytes())
    with pytest.raises(ValueError, match=r"decisions\.jsonl:1: not a decision"):
        read_decisions(tmp_path)


def test_a_long_line_that_was_cut_off_is_removed_as_a_whole(tmp_path: Path) -> None:
    """The end of the line before is looked for in pieces."""
    first = decision("drop", reason="a" * 200_000)
    add_decisions(tmp_path, [first])
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(path.read_bytes() * 2)
    path.write_bytes(path.read_bytes()[:-5])
    add_decisions(tmp_path, [])
    assert read_decisions(tmp_path) == [first]


def test_a_full_disk_is_named_and_leaves_the_decisions_as_they_were(tmp_path: Path) -> None:
    add_decisions(tmp_path, [decision("drop")])
    path = tmp_path / "decisions.jsonl"
    before = path.read_bytes()
    with full_disk(len(before) + 10), pytest.raises(OSError, match="File too large") as caught:
        add_decisions(tmp_path, [decision("keep"), decision("drop")])
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("taken", "holds"),
    [
        ([("keep", "music"), ("drop", "licence"), ("review", "search")], "drop"),
        ([("review", "music"), ("keep", "search")], "review"),
        ([("drop", "music"), ("keep", "review")], "keep"),
        ([("keep", "review"), ("drop", "music")], "keep"),
        ([("keep", "review"), ("drop", "review")], "drop"),
        ([("review", "music"), ("keep", "music")], "keep"),
        ([("drop", "music"), ("review", "search"), ("keep", "music")], "review"),
    ],
)
def test_a_person_stands_above_programs_and_caution_above_the_rest(
    taken: list[tuple[str, str]], holds: str
) -> None:
    decisions = [decision(verdict, stage) for verdict, stage in taken]
    assert final_decisions(decisions)["fma:1"].verdict == holds
