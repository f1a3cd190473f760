import json
from pathlib import Path

import pytest

from stable_audio_open.data.manifest import Recording, read_manifest, write_manifest
from stable_audio_open.manifest import ManifestLine


def folder(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "audio").mkdir()
    for name in ("a.wav", "b.wav"):
        (tmp_path / "audio" / name).touch()
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    recordings = [
        Recording(file="audio/a.wav", caption="kick drum, Größe 3"),
        Recording(
            file="audio/b.wav",
            caption="snare",
            tags=("snare drum", "dry"),
            family="sn",
            title="Snare!",
            source="freesound:1",
            author="somebody",
            licence="http://creativecommons.org/publicdomain/zero/1.0/",
            page_url="https://freesound.org/people/somebody/sounds/1/",
        ),
    ]
    path = folder(tmp_path) / "manifest.jsonl"
    write_manifest(path, recordings)
    assert read_manifest(tmp_path) == recordings
    assert path.read_text(encoding="utf-8").splitlines()[0] == (
        '{"file":"audio/a.wav","caption":"kick drum, Größe 3"}'
    )


def test_fields_stand_in_the_order_of_a_line() -> None:
    """Checksums of shards depend on it."""
    assert Recording.__struct_fields__ == ManifestLine.__struct_fields__
    assert Recording.__struct_fields__[:3] == ("file", "caption", "tags")


def test_empty_lines_and_other_names(tmp_path: Path) -> None:
    folder(tmp_path, "", '{"file": "audio/a.wav", "caption": "kick"}', "  ", "")
    (tmp_path / "manifest.jsonl").rename(tmp_path / "other.jsonl")
    assert read_manifest(tmp_path, "other.jsonl") == [Recording(file="audio/a.wav", caption="kick")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{file: a}", "JSON is malformed"),
        ('{"file": "audio/a.wav"}', "missing required field `caption`"),
        ('{"file": "audio/a.wav", "caption": 3}', r"Expected `str`, got `int` - at `\$.caption`"),
        (
            '{"file": "audio/a.wav", "caption": "x", "tag": []}',
            "unknown field `tag`; the fields are file, caption, tags",
        ),
        ('{"file": "audio/c.wav", "caption": "x"}', "c.wav is not there; add it or remove the"),
        ('{"file": "../a.wav", "caption": "x"}', "give a path inside the folder"),
        ('{"file": "/a.wav", "caption": "x"}', "give a path inside the folder"),
        ('{"file": "audio/a.wav", "caption": " "}', "the caption of 'audio/a.wav' is empty"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, line: str, message: str) -> None:
    folder(tmp_path, '{"file": "audio/a.wav", "caption": "kick"}', "", line)
    with pytest.raises(ValueError, match=rf"^\S*manifest.jsonl:3: .*{message}") as caught:
        read_manifest(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_manifest_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"manifest.jsonl: cannot be read \(No such file"):
        read_manifest(tmp_path)
    folder(tmp_path, "")
    with pytest.raises(ValueError, match=r"manifest.jsonl: lists no recordings"):
        read_manifest(tmp_path)


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = folder(tmp_path) / "manifest.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"file": "audio/a.wav", "caption": "a"}\r\n')
    assert read_manifest(tmp_path) == [Recording(file="audio/a.wav", caption="a")]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "mac_roman"])
def test_other_encodings_are_named_with_the_line(tmp_path: Path, encoding: str) -> None:
    path = folder(tmp_path) / "manifest.jsonl"
    lines = [{"file": "audio/a.wav", "caption": word} for word in ("bell", "Gl\u00f6ckchen")]
    text = "\n\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    path.write_bytes(text.encode(encoding))
    with pytest.raises(ValueError, match=r"manifest.jsonl:3: byte 0x.. in column \d+ is not UTF-8"):
        read_manifest(tmp_path)
    path.write_bytes(text.encode("utf-16"))
    with pytest.raises(ValueError, match=r"manifest.jsonl: is UTF-16; save the file as UTF-8"):
        read_manifest(tmp_path)


def test_names_are_found_in_either_form(tmp_path: Path) -> None:
    """An archive from a Mac has its names in NFD, what is typed is in NFC."""
    composed, decomposed = "Gl\u00f6ckchen.wav", "Glo\u0308ckchen.wav"
    for there, listed in ((composed, decomposed), (decomposed, composed)):
        (tmp_path / there).touch()
        (tmp_path / "manifest.jsonl").write_text(
            json.dumps({"file": listed, "caption": "bell"}), encoding="utf-8"
        )
        [recording] = read_manifest(tmp_path)
        assert recording.file == there
        (tmp_path / there).unlink()
    with pytest.raises(ValueError, match=r"manifest.jsonl:1: .* is not there; add it or remove"):
        read_manifest(tmp_path)
