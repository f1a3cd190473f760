"""Folders of a checkpoint hold the files of one, whatever happens."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stable_audio_open.checkpoint.folder import written_folder

WRITE = """
import os, sys
from pathlib import Path
from stable_audio_open.checkpoint.folder import written_folder

class Dies:
    "Ends the process at its n-th renaming, before it or behind it."
    left = int(sys.argv[2])

def dying(rename):
    def call(*arguments):
        if not Dies.left:
            os._exit(9)
        Dies.left -= 1
        found = rename(*arguments)
        return found
    return call

Path.rename, Path.replace = dying(Path.rename), dying(Path.replace)
with written_folder(sys.argv[1]) as scratch:
    (scratch / "text").mkdir()
    for name in ("config", "weights", "text/weights"):
        (scratch / name).write_text("new")
"""
OLD = {"config": "old", "weights": "old", "text/weights": "old", "card": "mine", "more/card": "too"}
NEW = OLD | {"config": "new", "weights": "new", "text/weights": "new"}


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def write_old(folder: Path) -> None:
    for name, content in OLD.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)


@pytest.mark.slow
@pytest.mark.parametrize("renamings", range(4))
def test_a_kill_leaves_the_old_one_or_the_new_one(renamings: int, tmp_path: Path) -> None:
    """Or, between two renamings, none, and the next one that writes there finds the old one."""
    folder = tmp_path / "model"
    write_old(folder)
    run = [sys.executable, "-c", WRITE, str(folder), str(renamings)]
    killed = subprocess.run(run, check=False).returncode == 9
    assert killed == (renamings < 2)
    assert contents(folder) == (NEW if renamings >= 2 else {} if renamings else OLD)
    with written_folder(folder) as scratch:
        assert contents(folder) == (OLD if killed else NEW)
        (scratch / "config").write_text("newer")
    assert contents(folder) == (OLD if killed else NEW) | {"config": "newer"}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_links_and_permissions_stay(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "real", tmp_path / "elsewhere"
    write_old(folder)
    write_old(elsewhere)
    folder.chmod(0o750)
    (folder / "linked").symlink_to(elsewhere)
    (folder / "gone").symlink_to("nowhere")
    (tmp_path / "model").symlink_to(folder)
    with written_folder(tmp_path / "model") as scratch:
        (scratch / "config").write_text("new")
    assert (tmp_path / "model").is_symlink()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert (folder / "linked").readlink() == elsewhere
    assert os.path.lexists(folder / "gone")
    assert (folder / "config").read_text() == "new"
    assert contents(elsewhere) == OLD
