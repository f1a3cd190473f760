import os
from pathlib import Path

import pytest

from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.training_set.current import inputs_hash, keep_current


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
