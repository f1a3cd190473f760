import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

import mutagen
import pytest
import soundfile
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.writing.formats import Subtype
from stable_audio_open.audio.writing.tags import (
    LONGEST,
    TagError,
    is_sound_there,
    read_tags,
    tags_beside,
)
from stable_audio_open.files.pipes_and_devices import SpecialFileError

FILES: list[tuple[str, Subtype]] = [
    ("a.wav", "pcm16"), ("a.wav", "pcm24"), ("a.wav", "float"), ("a.flac", "pcm24"),
    ("a.ogg", "pcm24"), ("a.mp3", "pcm24"),
]  # fmt: skip


def tagged(**more: object) -> Audio:
    generator = torch.Generator().manual_seed(0)
    tags = {"stable_audio_open": "0.2.0", **more}
    return Audio(torch.rand(1, 2, 4410, generator=generator) - 0.5, 44100, (7,), tags=(tags,))


def of_size(size: int) -> Audio:
    """Whose tags are a text of so many characters."""
    empty = len(json.dumps({"stable_audio_open": "0.2.0", "prompt": ""}, separators=(",", ":")))
    return tagged(prompt="x" * (size - empty))


@pytest.mark.parametrize(("name", "subtype"), FILES)
@pytest.mark.parametrize("size", [100, 101, LONGEST, LONGEST + 1, 60_000])
def test_tags_come_back(tmp_path: Path, name: str, subtype: Subtype, size: int) -> None:
    audio = of_size(size)
    (path,) = audio.save(tmp_path / name, subtype=subtype)
    assert read_tags(path) == audio.tags[0]
    assert tags_beside(path).exists() == (size > LONGEST)
    assert soundfile.info(path).frames == 4410


@pytest.mark.parametrize(("name", "subtype"), FILES)
def test_other_alphabets_come_back_as_ascii(tmp_path: Path, name: str, subtype: Subtype) -> None:
    audio = tagged(prompt='Trommel "größer"\n太鼓 \U0001f941', seed=2**63, values=[0.1, None, True])
    (path,) = audio.save(tmp_path / name, subtype=subtype)
    assert read_tags(path) == audio.tags[0]
    assert b"\\u592a\\u9f13" in path.read_bytes()
    with soundfile.SoundFile(path) as file:
        assert file.comment.isascii()


@pytest.mark.parametrize(("name", "subtype"), FILES)
def test_control_characters_come_back(tmp_path: Path, name: str, subtype: Subtype) -> None:
    audio = tagged(prompt='a\0b\x01\n\r\x7f\u202e\x85\u2028\udcff"\\', seed=2**64)
    (path,) = audio.save(tmp_path / name, subtype=subtype)
    assert read_tags(path) == audio.tags[0]


def test_others_read_the_comment_too(tmp_path: Path) -> None:
    audio = tagged(prompt="kick")
    (flac,), (mp3,) = audio.save(tmp_path / "a.flac"), audio.save(tmp_path / "a.mp3")
    assert json.loads(mutagen.File(flac)["comment"][0]) == audio.tags[0]
    comments = [frame.text[0] for frame in mutagen.File(mp3).tags.getall("COMM")]
    # The tags of ID3v1, which come with it, hold 30 characters.
    assert json.loads(max(comments, key=len)) == audio.tags[0]


@pytest.mark.parametrize("size", [*range(60, 68), 1000, 1001])
@pytest.mark.parametrize("word", ["", "PEAKPEAKPEAK", "data"])
def test_the_same_sound_and_tags_give_the_same_file(tmp_path: Path, size: int, word: str) -> None:
    """Float WAV files hold the time of writing, behind a comment of any length."""
    audio = tagged(prompt=word + "x" * size)
    content = audio.save(tmp_path / "a.wav", subtype="float")[0].read_bytes()
    peaks = content.rindex(b"PEAK") + 8
    assert content[peaks : peaks + 8] == b"\x01\0\0\0" + bytes(4)
    assert word.encode() in content
    assert read_tags(tmp_path / "a.wav") == audio.tags[0]


def test_samples_are_the_same_with_and_without(tmp_path: Path) -> None:
    (with_tags,) = of_size(1900).save(tmp_path / "a.wav")
    (without,) = of_size(1900).save(tmp_path / "b.wav", tags=False)
    first, second = (soundfile.read(path)[0] for path in (with_tags, without))
    assert (first == second).all()
    with pytest.raises(TagError, match=r"b.wav: its tags do not say how it was made; .*--no-tags"):
        read_tags(without)


def test_a_file_beside_goes_with_its_sound(tmp_path: Path) -> None:
    (path,) = of_size(3000).save(tmp_path / "a.wav")
    beside = tags_beside(path)
    assert beside.name == "a.wav.json"
    content = beside.read_bytes()
    beside.write_bytes(content.replace(b"xxx", b"xyx"))
    with pytest.raises(TagError, match=r"a.wav.json: holds the tags of another file than a.wav"):
        read_tags(path)
    beside.unlink()
    with pytest.raises(TagError, match=r"a.wav: its tags are in .*a.wav.json, which is missing"):
        read_tags(path)
    beside.write_bytes(content)
    of_size(100).save(path)
    assert not beside.exists()


def test_tags_of_up_to_1900_bytes_are_inside(tmp_path: Path) -> None:
    for size, beside in ((1900, False), (1901, True), (1900, False), (1901, True), (1901, True)):
        (path,) = of_size(size).save(tmp_path / "a.wav")
        assert tags_beside(path).exists() == beside
        assert read_tags(path) == of_size(size).tags[0]


def test_a_sound_or_its_tags_are_there(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    assert not is_sound_there(path)
    tags_beside(path).touch()
    assert is_sound_there(path)
    tags_beside(path).unlink()
    path.symlink_to("nowhere")
    assert is_sound_there(path)


def test_tags_beside_that_are_none(tmp_path: Path) -> None:
    """Whatever their hash."""
    comment = {"stable_audio_open": "1", "beside": hashlib.sha256(b"[]").hexdigest()}
    audio = Audio(torch.zeros(1, 1, 9), 8000, tags=(comment,))
    (path,) = audio.save(tmp_path / "a.wav")
    tags_beside(path).write_bytes(b"[]")
    with pytest.raises(TagError, match=r"a.wav.json: holds the tags of another file than a.wav"):
        read_tags(path)


def test_pipes_have_no_tags(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(SpecialFileError, match=r"a.wav: is a named pipe"):
        read_tags(tmp_path / "a.wav")


@pytest.mark.parametrize("content", [b"{}", b'{"title": "mine"}', b"[1]", b"\xff\xfe", b"[" * 9999])
def test_files_of_others_are_left_alone(tmp_path: Path, content: bytes) -> None:
    beside = tmp_path / "a.wav.json"
    beside.write_bytes(content)
    of_size(100).save(tmp_path / "a.wav")
    before = (tmp_path / "a.wav").read_bytes()
    with pytest.raises(
        TagError, match=r"a.wav.json: stands where tags of a.wav go .*, and holds none"
    ):
        of_size(3000).save(tmp_path / "a.wav")
    assert beside.read_bytes() == content
    assert (tmp_path / "a.wav").read_bytes() == before
    of_size(3000).save(tmp_path / "a.wav", tags=False)
    assert beside.read_bytes() == content


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "my own words",
        "{}",
        "[]",
        '{"prompt": 1}',
        "{" * 900,
        '["stable_audio_open"]',
        '"stable_audio_open"',
    ],
)
def test_comments_of_others_are_told(tmp_path: Path, comment: str) -> None:
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 8000, 1) as file:
        if comment:
            file.comment = comment
        file.write([0.0] * 10)
    with pytest.raises(TagError, match=r"a.wav: its tags do not say how it was made"):
        read_tags(tmp_path / "a.wav")


def test_what_is_no_sound_has_no_tags(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("text")
    with pytest.raises(TagError, match=r"a.wav: its tags do not say"):
        read_tags(tmp_path / "a.wav")
    with pytest.raises(FileNotFoundError, match=r"b.wav"):
        read_tags(tmp_path / "b.wav")


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"prompt": "kick"}, "tags need the name 'stable_audio_open', got prompt"),
        ({"stable_audio_open": "1", "sigma": float("inf")}, "not JSON compliant"),
    ],
)
def test_tags_that_cannot_be_written(tmp_path: Path, tags: dict[str, Any], message: str) -> None:
    audio = Audio(torch.zeros(1, 1, 9), 8000, tags=(tags,))
    with pytest.raises(ValueError, match=message):
        audio.save(tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


def test_a_warning_of_level_comes_with_tags_too(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audio = tagged()
    loud = Audio(audio.samples * 9, 44100, tags=audio.tags)
    with caplog.at_level(logging.WARNING):
        loud.save(tmp_path / "a.wav")
    assert "turned down by" in caplog.text


def test_a_name_in_raw_is_no_matter(tmp_path: Path) -> None:
    (path,) = tagged(prompt="kick").save(tmp_path / "a.flac")
    assert read_tags(path.rename(tmp_path / "a.raw"))["prompt"] == "kick"
