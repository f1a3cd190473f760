import os
import socket
from pathlib import Path

import pytest

from stable_audio_open.audio.files import AudioFileError, read_audio
from stable_audio_open.audio.writing.places import check_target
from stable_audio_open.files.pipes_and_devices import (
    SpecialFileError,
    refuse_special,
    refuse_special_inside,
)


def test_what_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    os.mkfifo("pipe")
    Path("link").symlink_to("pipe")
    with socket.socket(socket.AF_UNIX) as own:
        own.bind("socket")
        for name, kind in (
            ("pipe", "a named pipe"),
            ("link", "a named pipe"),
            ("socket", "a socket"),
            ("/dev/zero", "a device"),
        ):
            with pytest.raises(SpecialFileError, match=rf"^{name}: is {kind}, not a file; save wh"):
                refuse_special(Path(name))


def test_files_folders_and_nothing_pass(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("file", ".", "absent", "file/absent", "loop"):
        refuse_special(tmp_path / name)


def test_a_path_with_nul_is_refused_wherever_it_is_read_or_written() -> None:
    with pytest.raises(SpecialFileError, match=r"^'a\\x00b\.wav': holds a NUL character"):
        refuse_special(Path("a\0b.wav"))
    with pytest.raises(AudioFileError, match=r"'a\\x00b\.wav': holds a NUL character"):
        read_audio(Path("a\0b.wav"))
    with pytest.raises(ValueError, match=r"^'a\\x00b\.wav': holds a NUL character"):
        check_target(Path("a\0b.wav"), "pcm24")


def test_folders_are_looked_into(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    os.mkfifo(tmp_path / "a" / "log")
    refuse_special_inside(tmp_path, suffixes=(".json",))
    os.mkfifo(tmp_path / "a" / "b" / "c.json")
    refuse_special_inside(tmp_path, suffixes=(".json",))
    with pytest.raises(SpecialFileError, match=r"b/c.json: is a named pipe"):
        refuse_special_inside(tmp_path, suffixes=(".json",), depth=3)
    os.mkfifo(tmp_path / "a" / "d.json")
    with pytest.raises(SpecialFileError, match=r"a/d.json: is a named pipe"):
        refuse_special_inside(tmp_path, suffixes=(".json",))
