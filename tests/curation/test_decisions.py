from pathlib import Path

import pytest

from stable_audio_open.curation.catalogue.decisions import (
    Decision,
    add_decisions,
    final_decisions,
    now,
    read_decisions,
)


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
