import csv
import os
from pathlib import Path

import pytest

from stable_audio_open.files.text import MARK, not_utf8, open_table, text_lines
from stable_audio_open.files.unicode_names import as_on_disk, composed

NFC, NFD = "Gl\u00f6ckchen", "Glo\u0308ckchen"


def saved(folder: Path, content: bytes) -> Path:
    path = folder / "list.jsonl"
    path.write_bytes(content)
    return path


def test_lines_come_without_mark_ends_and_blanks(tmp_path: Path) -> None:
    path = saved(tmp_path, MARK + b"one\r\n\n \t\ntwo" + MARK + b"\nthree")
    assert list(text_lines(path)) == [(1, b"one"), (4, b"two" + MARK), (5, b"three")]
    assert list(text_lines(saved(tmp_path, b""))) == []
    assert list(text_lines(saved(tmp_path, MARK))) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_named(tmp_path: Path, encoding: str) -> None:
    path = saved(tmp_path, '{"file": "a.wav"}\n'.encode(encoding))
    with pytest.raises(ValueError, match=r"list.jsonl: is UTF-16; save the file as UTF-8$"):
        list(text_lines(path))


def test_bytes_of_other_encodings_are_named() -> None:
    assert not_utf8("Größe \U0001f941".encode()) == ""
    fault = "byte 0xf6 in column 3 is not UTF-8; save the file as UTF-8"
    assert not_utf8("Größe".encode("latin-1")) == fault
    assert not_utf8(b"\xed\xa0\x80").startswith("byte 0xed in column 1")


def test_tables_are_named_with_their_lines(tmp_path: Path) -> None:
    path = saved(tmp_path, MARK + "a,b\nGröße,2\n".encode())
    with open_table(path) as file:
        assert list(csv.reader(file)) == [["a", "b"], ["Größe", "2"]]
    path = saved(tmp_path, b"a,b\n\n" + "Größe,2\n".encode("cp1252"))
    fault = r"list.jsonl:3: byte 0xf6 in column 3 is not UTF-8"
    with pytest.raises(ValueError, match=fault), open_table(path) as file:
        list(csv.reader(file))
    path = saved(tmp_path, "a,b\n".encode("utf-16"))
    with pytest.raises(ValueError, match="is UTF-16"), open_table(path) as file:
        list(csv.reader(file))
    with pytest.raises(ValueError, match="not a CSV file") as caught, open_table(path):
        raise csv.Error("field larger than field limit (131072)")
    assert str(path) in str(caught.value)


def test_a_pipe_is_no_list(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: is a named pipe, not a file"):
        list(text_lines(tmp_path / "pipe"))
    with pytest.raises(ValueError, match="is a named pipe"), open_table(tmp_path / "pipe"):
        pass


def test_names_are_found_in_either_form(tmp_path: Path) -> None:
    (tmp_path / NFD / "\u00e9").mkdir(parents=True)
    (tmp_path / NFD / "\u00e9" / f"{NFC}.wav").touch()
    (tmp_path / "plain.wav").touch()
    there = f"{NFD}/\u00e9/{NFC}.wav"
    for asked in (there, f"{NFC}/e\u0301/{NFD}.wav", composed(there)):
        assert as_on_disk(tmp_path, asked) == there
    for absent in ("no.wav", f"{NFC}.wav", f"{NFC}/{NFC}.wav", f"no/{NFD}.wav"):
        assert as_on_disk(tmp_path, absent) == absent
    assert as_on_disk(tmp_path, "plain.wav") == "plain.wav"


def test_an_exact_name_counts_first(tmp_path: Path) -> None:
    for name in (NFC, NFD):
        (tmp_path / name).touch()
    assert [as_on_disk(tmp_path, name) for name in (NFC, NFD)] == [NFC, NFD]
