import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.training_set.current import inputs_hash, keep_current
from tests.full_disk import full_disk


def write(text: str):
    def into(folder: Path) -> None:
        folder.mkdir()
        (folder / "set.json").write_text(text)

    return into


def test_a_set_is_written_once_and_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    assert keep_current(folder, "1", write("first"))
    assert not keep_current(folder, "1", write("again"))
    assert (folder / "set.json").read_text() == "first"
    (folder / "left.tar").touch()
    assert keep_current(folder, "2", write("second"))
    assert sorted(path.name for path in folder.iterdir()) == ["inputs.sha256", "set.json"]
    assert (folder / "set.json").read_text() == "second"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_failure_leaves_the_old_set(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    keep_current(folder, "1", write("first"))

    def fail(target: Path) -> None:
        write("half")(target)
        raise ValueError("no recording stands")

    with pytest.raises(ValueError, match="no recording stands"):
        keep_current(folder, "2", fail)
    assert (folder / "set.json").read_text() == "first"
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    with pytest.raises(ValueError, match="was not written by `curate run`; move it away"):
        keep_current(tmp_path / "set", "1", write("first"))


def test_what_a_set_is_made_of(tmp_path: Path) -> None:
    """Settings, records, and each file's size and time."""
    (tmp_path / "a").write_text("x")
    records = [CatalogueRecord(id="a", file="a"), CatalogueRecord(id="b", file="b")]
    hashes = [inputs_hash(records, tmp_path, {"seed": 0})]
    assert hashes == [inputs_hash(records, tmp_path, {"seed": 0})]
    hashes.append(inputs_hash(records, tmp_path, {"seed": 1}))
    hashes.append(inputs_hash(records[:1], tmp_path, {"seed": 0}))
    os.utime(tmp_path / "a", ns=(1, 1))
    hashes.append(inputs_hash(records, tmp_path, {"seed": 0}))
    (tmp_path / "a").write_text("xy")
    os.utime(tmp_path / "a", ns=(1, 1))
    hashes.append(inputs_hash(records, tmp_path, {"seed": 0}))
    assert len(set(hashes)) == 5


@pytest.mark.slow
def test_a_killed_one_of_the_same_process_number_is_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In containers every run has the same."""
    folder = tmp_path / "set"
    keep_current(folder, "1", write("first"))
    assert run_and_kill(tmp_path) == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    monkeypatch.setattr(os, "getpid", lambda: 1)
    # As version 0.1.0 left them.
    for left in (".set-1", ".set-1.old"):
        (tmp_path / left).mkdir()
    assert keep_current(folder, "2", write("second"))
    assert (folder / "set.json").read_text() == "second"
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [".set-1", ".set-1.old", "set"]


def run_and_kill(folder: Path) -> int:
    """A process that is killed while it writes."""
    code = f"""
import os, signal
from pathlib import Path
from stable_audio_open.curation.training_set.current import keep_current
def write(folder):
    folder.mkdir()
    os.kill(os.getpid(), signal.SIGKILL)
keep_current(Path({str(folder / "set")!r}), "2", write)
"""
    return subprocess.run([sys.executable, "-c", code]).returncode


def test_a_full_disk_names_the_set_and_leaves_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    keep_current(folder, "1", write("first"))
    with full_disk(3), pytest.raises(OSError, match="File too large") as caught:
        keep_current(folder, "2", write("second"))
    assert caught.value.filename == str(folder)
    assert (folder / "set.json").read_text() == "first"
    assert list(tmp_path.iterdir()) == [folder]
