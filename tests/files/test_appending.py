"""Files that several processes append to at once."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from stable_audio_open.files.atomic import append_bytes, replace_bytes
from stable_audio_open.files.json_lines import append_json_lines, read_json_lines
from tests.full_disk import full_disk

HOLD = """
import sys
from pathlib import Path
from stable_audio_open.files.atomic import appending, write_whole

with appending(Path(sys.argv[1])) as file:
    write_whole(file, b'{"text": "theirs, ')
    print("half", flush=True)
    sys.stdin.readline()
    write_whole(file, b'whole"}\\n')
    {more}
"""


class Note(msgspec.Struct):
    text: str


def hold(path: Path, more: str = "") -> subprocess.Popen[str]:
    """A process that has written half a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD.replace("{more}", more), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "half\n"
    return process


APPEND = """
import os, sys
from pathlib import Path
import msgspec
from stable_audio_open.files.json_lines import append_json_lines

class Note(msgspec.Struct):
    text: str

os.write(1, b"ready\\n")
append_json_lines(Path(sys.argv[1]), [Note("ours")])
"""


def append_meanwhile(path: Path, held: subprocess.Popen[str]) -> None:
    """Append while another process is amid a line, and let that one go on."""
    ours = subprocess.Popen([sys.executable, "-c", APPEND, str(path)], stdout=subprocess.PIPE)
    assert ours.stdout is not None
    ours.stdout.readline()
    before = path.read_bytes()
    # It waits: had it no lock, half a second would do to cut the other's line.
    with pytest.raises(subprocess.TimeoutExpired):
        ours.wait(0.5)
    assert path.read_bytes() == before
    held.communicate("go on\n")
    ours.communicate()
    assert ours.returncode == 0


def test_half_a_line_of_a_process_that_lives_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    append_meanwhile(path, hold(path))
    assert read_json_lines(path, Note, what="a note") == [Note("theirs, whole"), Note("ours")]


@pytest.mark.slow
def test_a_file_that_is_removed_or_replaced_meanwhile_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    append_meanwhile(path, hold(path, "Path(sys.argv[1]).unlink()"))
    assert read_json_lines(path, Note, what="a note") == [Note("ours")]
    replace = "from stable_audio_open.files.atomic import *; replace_bytes(Path(sys.argv[1]), b'')"
    append_meanwhile(path, hold(path, replace))
    assert read_json_lines(path, Note, what="a note") == [Note("ours")]


def test_a_file_that_could_not_be_begun_is_not_there(tmp_path: Path) -> None:
    for append in (
        lambda path: append_bytes(path, b"some"),
        lambda path: append_json_lines(path, [Note("some")]),
    ):
        with full_disk(), pytest.raises(OSError, match="File too large") as caught:
            append(tmp_path / "file")
        assert caught.value.filename == str(tmp_path / "file")
        assert list(tmp_path.iterdir()) == []
    replace_bytes(tmp_path / "file", b"")
    append_bytes(tmp_path / "file", b"some")
    assert (tmp_path / "file").read_bytes() == b"some"
