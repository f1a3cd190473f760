"""A folder in the place of another: after a kill at any moment one of them is there."""

from pathlib import Path

import pytest

from stable_audio_open.files.replaced import replace_folder, restore_folder


def folder(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / "file").write_text(text)
    return path


def test_the_new_one_is_there_and_nothing_else(tmp_path: Path) -> None:
    target = folder(tmp_path / "set", "old")
    replace_folder(target, folder(tmp_path / "scratch" / "set", "new"))
    assert (target / "file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "set"]


@pytest.mark.parametrize("calls", [0, 1])
def test_a_kill_before_either_renaming_loses_neither(
    tmp_path: Path, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, new = folder(tmp_path / "set", "old"), folder(tmp_path / "scratch" / "set", "new")
    left, rename = calls, Path.rename

    def killed(path: Path, to: Path) -> Path:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        return rename(path, to)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        replace_folder(target, new)
    monkeypatch.undo()
    restore_folder(target)
    assert (target / "file").read_text() == "old"
    assert (new / "file").read_text() == "new"
    replace_folder(target, new)
    assert (target / "file").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "set"]


def test_what_cannot_be_put_there_leaves_the_old_one(tmp_path: Path) -> None:
    target = folder(tmp_path / "set", "old")
    with pytest.raises(FileNotFoundError):
        replace_folder(target, tmp_path / "absent")
    assert (target / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_what_was_left_to_delete_is_deleted(tmp_path: Path) -> None:
    target = folder(tmp_path / "set", "new")
    folder(tmp_path / ".set.before", "old")
    restore_folder(target)
    assert (target / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
