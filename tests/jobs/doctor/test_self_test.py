from pathlib import Path

import msgspec
import pytest

from stable_audio_open.jobs.doctor import self_test
from stable_audio_open.jobs.doctor.examination import Examination
from stable_audio_open.jobs.doctor.finding import Finding, Section


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A file of stored numbers in place of the package's."""
    copy = tmp_path / "stored.json"
    copy.write_bytes(self_test.FILE.read_bytes())
    monkeypatch.setattr(self_test, "FILE", copy)
    return copy


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_the_bundled_model_gives_the_stored_numbers(dtype: str) -> None:
    found = self_test.self_test("cpu", dtype)
    assert [(one.subject, one.state) for one in found] == [
        ("encode", "ok"),
        ("one step", "ok"),
        ("decode", "ok"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["encode", "one step", "decode"])
def test_other_numbers_are_a_fault(stored: Path, name: str) -> None:
    numbers = self_test.read_stored()
    projections = {**numbers.projections, name: [1.01 * x for x in numbers.projections[name]]}
    stored.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(numbers, projections=projections))
    )
    found = {one.subject: one for one in self_test.self_test("cpu")}
    assert found.pop(name).remedy == self_test.REMEDY
    assert [one.state for one in found.values()] == ["ok", "ok"]


def test_other_weights_are_a_fault(stored: Path) -> None:
    numbers = msgspec.structs.replace(self_test.read_stored(), model="0" * 16)
    stored.write_bytes(msgspec.json.encode(numbers))
    (found,) = self_test.self_test("cpu")
    assert (found.subject, found.state) == ("bundled model", "fault")


def test_faults_are_counted_and_nothing_else() -> None:
    findings = tuple(
        Finding(subject=state, state=state, detail="")
        for state in ("ok", "missing", "warning", "fault", "fault")
    )
    sections = (Section(name="a", findings=findings), Section(name="b", findings=findings[:3]))
    assert Examination(version="1", sections=sections).faults == 2
