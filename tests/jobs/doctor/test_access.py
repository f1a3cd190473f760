from pathlib import Path

import pytest

from stable_audio_open.jobs.doctor import access


def test_a_folder_that_will_be_made_is_tried_above(tmp_path: Path) -> None:
    found = access.folder_finding("models", tmp_path / "a" / "b")
    assert found.state in ("ok", "warning")  # by the space of the machine
    assert found.detail.startswith(f"{tmp_path}/a/b, ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody writes to")
def test_a_folder_that_cannot_be_written_to_is_a_fault() -> None:
    found = access.folder_finding("models", Path("/proc/self"), remedy="set HF_HOME")
    assert (found.state, found.remedy) == ("fault", "set HF_HOME")
    assert found.detail.startswith("/proc/self cannot be written to (")


def test_a_login_is_found_and_never_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    found = access.hub_finding()
    assert found.state == "ok"
    assert "secret" not in repr(found)
    monkeypatch.delenv("HF_TOKEN")
    assert access.hub_finding().remedy == "hf auth login"
