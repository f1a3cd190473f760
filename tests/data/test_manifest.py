import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from stable_audio_open.data.manifest import (
    Recording,
    check_numbers,
    numbers_of,
    read_manifest,
    write_manifest,
)
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


def test_the_first_of_several_captions_is_the_caption(tmp_path: Path) -> None:
    line = {"file": "audio/a.wav", "captions": ["a huge explosion", "explosion, huge"]}
    folder(tmp_path, json.dumps(line), '{"file": "audio/b.wav", "caption": "snare"}')
    several, one = read_manifest(tmp_path)
    assert (several.caption, several.all_captions) == ("a huge explosion", several.captions)
    assert (one.captions, one.all_captions) == (UNSET, ("snare",))
    assert several.known() == line | {"captions": ("a huge explosion", "explosion, huge")}
    write_manifest(tmp_path / "again.jsonl", [several, one])
    assert json.loads((tmp_path / "again.jsonl").read_text().splitlines()[0]) == line
    assert read_manifest(tmp_path, "again.jsonl") == [several, one]
    assert b"captions" not in msgspec.json.encode(one)  # checksums of shards stay as they were


def test_a_caption_beside_several_must_be_the_first() -> None:
    with pytest.raises(ValueError, match="caption is 'y', and the first of captions 'x'; caption"):
        Recording(file="a.wav", caption="y", captions=("x", "y"))


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
            '{"file": "audio/a.wav", "tag": []}',
            "missing required field `caption`; the fields are file, caption, tags",
        ),
        ('["audio/a.wav", "x"]', "Expected `object`, got `array`"),
        ('{"file": "audio/c.wav", "caption": "x"}', "c.wav is not there; add it or remove the"),
        ('{"file": "../a.wav", "caption": "x"}', "give a path inside the folder"),
        ('{"file": "/a.wav", "caption": "x"}', "give a path inside the folder"),
        ('{"file": "audio/a.wav", "caption": " "}', "the caption of 'audio/a.wav' is empty"),
        (
            '{"file": "audio/a.wav", "caption": "x", "captions": ["x", "y"]}',
            "has both caption and captions; give one of them",
        ),
        ('{"file": "audio/a.wav", "captions": []}', r"captions are \[\]; give at least one"),
        ('{"file": "audio/a.wav", "captions": ["x", " "]}', r"\['x', ' '\]; give at least one"),
        (
            '{"file": "audio/a.wav", "captions": ["x", 3]}',
            r"Expected `str`, got `int` - at `\$.captions\[1\]`",
        ),
        ('{"file": "audio/a.wav", "captions": "x"}', "Expected `array`, got `str`"),
        ('{"file": "audio/a.wav", "captions": null}', "Expected `array`, got `null`"),
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


def test_fields_of_other_names_are_kept_and_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = {"duration": 1.5, "length": 2, "capton": "x", "bpm": 120, "other": {"a": [1]}}
    line = {"file": "audio/a.wav", "caption": "kick"}
    folder(
        tmp_path, json.dumps(line | other), json.dumps(line | {"file": "audio/b.wav", "bpm": 90})
    )
    first, second = read_manifest(tmp_path)
    assert (first.other, second.other) == (other, {"bpm": 90})
    assert (first.value("bpm"), first.value("other"), first.value("caption")) == (
        120,
        {"a": [1]},
        "kick",
    )
    assert (second.value("duration"), second.value("album")) == (None, None)
    assert caplog.messages == [
        f"{tmp_path / 'manifest.jsonl'}: other fields than ours are kept: "
        '"duration", "length", "capton" (did you mean "caption"?), "bpm", "other"'
    ]
    # What is written holds them as they came.
    write_manifest(tmp_path / "again.jsonl", [first, second])
    assert json.loads((tmp_path / "again.jsonl").read_text().splitlines()[0]) == line | other
    assert read_manifest(tmp_path, "again.jsonl") == [first, second]


def test_lines_of_our_fields_alone_are_not_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder(tmp_path, '{"file": "audio/a.wav", "caption": "kick", "year": 1999}')
    [recording] = read_manifest(tmp_path)
    assert recording.other is UNSET
    assert recording.known() == {"file": "audio/a.wav", "caption": "kick", "year": 1999}
    assert b"other" not in msgspec.json.encode(recording)  # checksums of shards stay as they were
    assert caplog.messages == []


def test_numbers_that_a_model_is_conditioned_on_are_found() -> None:
    other = {"bpm": 120, "swing": 0.5, "loop": True, "key": "C", "gain": None}
    recording = Recording(file="a.wav", caption="x", year=1999, other=other)
    names = ["bpm", "swing", "loop", "key", "gain", "year", "album", "missing"]
    assert numbers_of(recording, names) == {"bpm": 120.0, "swing": 0.5, "year": 1999.0}


def test_missing_numbers_are_named_with_their_files() -> None:
    said: list[dict[str, Any]] = [{"bpm": 120}, {}, {"bpm": "fast"}, {}, {}]
    listed = [
        Recording(file=f"{index}.wav", caption="x", other=other or UNSET)
        for index, other in enumerate(said)
    ]
    check_numbers(listed[:1], ["bpm"])
    with pytest.raises(ValueError) as error:  # noqa: PT011, the whole message is compared
        check_numbers(listed, ["bpm"])
    assert str(error.value) == (
        "the model is conditioned on bpm, and 4 of 5 recordings have no number of that name: "
        "1.wav, 2.wav ('fast'), 3.wav and more; add it to their lines of the manifest"
    )
