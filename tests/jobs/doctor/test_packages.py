from pathlib import Path

import pytest

from stable_audio_open.jobs.doctor import packages
from stable_audio_open.jobs.doctor.finding import Finding

METADATA = """\
Metadata-Version: 2.1
Name: stable-audio-open
Version: 9
Requires-Python: {python}
Provides-Extra: play
Provides-Extra: paint
Provides-Extra: dev
Requires-Dist: nothing-of-this-name>=1
Requires-Dist: numpy>=1000
Requires-Dist: einops
Requires-Dist: only-elsewhere; sys_platform == "plan9"
Requires-Dist: another-name; extra == "play"
Requires-Dist: safetensors; extra == "play"
Requires-Dist: safetensors; extra == "paint"
Requires-Dist: linter; extra == "dev"
"""


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed library of this name that asks for other packages."""
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "stable_audio_open-9.dist-info" / "METADATA"
    file.parent.mkdir()
    file.write_text(METADATA.format(python=">=3.11"))
    return file


def test_every_package_that_is_needed_is_here() -> None:
    found = {one.subject: one for one in packages.package_findings()}
    assert {"torch", "numpy", "msgspec", "huggingface_hub"} <= set(found)
    assert [one for one in found.values() if one.state != "ok"] == []


@pytest.mark.usefixtures("described")
def test_what_is_missing_or_too_old_is_named_with_the_command() -> None:
    missing, old, right = packages.package_findings()
    assert missing == Finding(
        subject="nothing-of-this-name",
        state="fault",
        detail="not installed",
        remedy='pip install "nothing-of-this-name>=1"',
    )
    assert (old.subject, old.state, old.remedy) == (
        "numpy",
        "warning",
        'pip install "numpy>=1000"',
    )
    assert old.detail.endswith(", but >=1000 is needed")
    assert (right.subject, right.state) == ("einops", "ok")


@pytest.mark.usefixtures("described")
def test_optional_parts_come_with_the_command_that_brings_them() -> None:
    paint, play = packages.extra_findings()
    assert (paint.subject, paint.state) == ("paint", "ok")
    assert paint.detail.startswith("safetensors ")
    assert play == Finding(
        subject="play",
        state="missing",
        detail="without another-name",
        remedy='pip install "stable-audio-open[play]"',
    )


def test_another_python_is_a_fault(described: Path) -> None:
    assert packages.python_finding().state == "ok"
    described.write_text(METADATA.format(python="<3"))
    found = packages.python_finding()
    assert (found.state, found.remedy) == (
        "fault",
        "install a Python <3 and this library for it",
    )
