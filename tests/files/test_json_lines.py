from pathlib import Path

import msgspec
import pytest

from stable_audio_open.files.json_lines import read_json_lines


class Note(msgspec.Struct):
    text: str


def test_lines_come_in_order_and_none_without_a_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    assert read_json_lines(path, Note, what="a note") == []
    path.write_bytes(b'{"text": "a"}\n{"text": "b"}\n')
    assert read_json_lines(path, Note, what="a note") == [Note("a"), Note("b")]


DEEP = b'{"more": ' + b"[" * 100_000


@pytest.mark.parametrize(
    "line",
    [b"{", b"", b"{}", b'{"text": 1}', b'{"text": "\xff"}', b"\xff", pytest.param(DEEP, id="deep")],
)
def test_a_line_that_cannot_be_read_is_named(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + line + b"\n")
    with pytest.raises(ValueError, match=r"notes\.jsonl:2: not a note \([^\n]+\)$"):
        read_json_lines(path, Note, what="a note")
    with pytest.raises(ValueError, match=r"\); delete the line$"):
        read_json_lines(path, Note, what="a note", remedy="delete the line")
