import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mutagen.aiff import AIFF
from mutagen.flac import FLAC
from mutagen.id3 import COMM, TALB, TCON, TCOP, TDRC, TIT2, TPE1, TXXX, WCOP, WOAF
from mutagen.mp3 import MP3
from mutagen.oggvorbis import OggVorbis
from mutagen.wave import WAVE

from stable_audio_open.audio.files import AudioFileError, read_audio
from stable_audio_open.audio.paths import audio_files, files_by_number
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.sources.folder import LOOP, read_folder

BY = "https://creativecommons.org/licenses/by/4.0/"
ZERO = "http://creativecommons.org/publicdomain/zero/1.0/"


def audio(path: Path, seconds: float = 0.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal((int(22050 * seconds), 2))
    soundfile.write(path, noise, 22050)
    return path


def only(root: Path) -> CatalogueRecord:
    (row,) = read_folder(root)
    assert row.record is not None, row.reason
    return row.record


def test_a_sidecar_in_own_words_and_in_those_of_freesound(tmp_path: Path) -> None:
    audio(tmp_path / "a" / "kick.wav")
    full = CatalogueRecord(
        id="folder:a/kick.wav",
        title="Kick",
        description="low",
        tags=("kick", "drum"),
        genres=("House",),
        album="b",
        artist="c",
        year=1999,
        licence=BY,
        author="d",
        page_url="https://example.org/1",
        file="a/kick.wav",
        duration=0.5,
        sample_rate=22050,
        channels=2,
    )
    fields = {
        "title": "Kick",
        "description": "low",
        "tags": ["kick", "drum"],
        "genres": ["House"],
        "album": "b",
        "artist": "c",
        "year": 1999,
        "licence": BY,
        "author": "d",
        "page_url": "https://example.org/1",
        "rating": 5,
        "caption": None,
    }
    (tmp_path / "a" / "kick.json").write_text(json.dumps(fields))
    assert only(tmp_path) == full
    other = {"title": "name", "licence": "license", "author": "username", "page_url": "url"}
    renamed = {other.get(name, name): value for name, value in fields.items()}
    (tmp_path / "a" / "kick.json").write_text(json.dumps(renamed))
    assert only(tmp_path) == full


@pytest.mark.parametrize("suffix", [".flac", ".ogg"])
def test_vorbis_comments(tmp_path: Path, suffix: str) -> None:
    path = audio(tmp_path / f"a{suffix}")
    tags = FLAC(path) if suffix == ".flac" else OggVorbis(path)
    tags["title"], tags["artist"], tags["album"] = "T", "A", "B"
    tags["genre"], tags["date"] = ["Ambient", "Drone"], "2009-01-05"
    tags["license"], tags["description"], tags["contact"] = BY, "D", "https://example.org"
    tags["tags"] = "one, two"
    tags.save()
    record = only(tmp_path)
    assert (record.title, record.artist, record.author, record.album) == ("T", "A", "A", "B")
    assert (record.genres, record.year, record.tags) == (("Ambient", "Drone"), 2009, ("one", "two"))
    assert (record.licence, record.description, record.page_url) == (BY, "D", "https://example.org")


@pytest.mark.parametrize("suffix", [".mp3", ".wav"])
def test_id3_frames(tmp_path: Path, suffix: str) -> None:
    path = audio(tmp_path / f"a{suffix}")
    file = MP3(path) if suffix == ".mp3" else WAVE(path)
    file.add_tags()
    for frame in (
        TIT2(text="T"),
        TPE1(text="A"),
        TALB(text="B"),
        TDRC(text="2009-01-05"),
        TCON(text=["(17)", "Drone"]),
        COMM(lang="eng", desc="iTunNORM", text="0000"),
        COMM(lang="eng", desc="", text="D"),
        TXXX(desc="tags", text="one"),
        WCOP(url=BY),
        WOAF(url="https://example.org"),
    ):
        file.tags.add(frame)
    file.save()
    record = only(tmp_path)
    assert (record.title, record.artist, record.author, record.album) == ("T", "A", "A", "B")
    assert (record.genres, record.year, record.tags) == (("Rock", "Drone"), 2009, ("one",))
    assert (record.licence, record.description, record.page_url) == (BY, "D", "https://example.org")


def test_the_licence_in_a_copyright_notice(tmp_path: Path) -> None:
    file = MP3(audio(tmp_path / "a.mp3"))
    file.add_tags()
    file.tags.add(TCOP(text=f"2009 A. Licensed to the public under {BY} verify at example.org"))
    file.save()
    assert only(tmp_path).licence == BY


def test_a_sidecar_counts_before_tags_field_by_field(tmp_path: Path) -> None:
    tags = FLAC(audio(tmp_path / "a.flac"))
    tags["title"], tags["artist"] = "of the tags", "A"
    tags.save()
    (tmp_path / "a.json").write_text(json.dumps({"title": "of the sidecar", "license": ZERO}))
    record = only(tmp_path)
    assert (record.title, record.artist, record.licence) == ("of the sidecar", "A", ZERO)


def test_unreadable_audio_is_told_with_the_reason(tmp_path: Path) -> None:
    for suffix in ("wav", "flac", "ogg", "mp3"):
        whole = audio(tmp_path / f"cut.{suffix}", 3.0).read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.wav").write_text("not a recording")
    (tmp_path / "zero.wav").write_bytes(b"")
    (tmp_path / "link.wav").symlink_to(tmp_path / "nowhere.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    audio(tmp_path / "side.wav")
    (tmp_path / "side.json").write_text('{"tags": "kick"}')
    reasons = {row.raw: row.reason for row in read_folder(tmp_path)}
    for suffix in ("wav", "flac", "ogg", "mp3"):
        assert "the file is truncated" in reasons.pop(f"cut.{suffix}")
    assert {name: reason.removeprefix(f"{tmp_path}/") for name, reason in reasons.items()} == {
        "text.wav": "text.wav: not a readable audio file (Format not recognised); use WAV, FLAC, "
        "Ogg, MP3 or AIFF",
        "zero.wav": "zero.wav: the file is empty (0 bytes); download or export it again",
        "link.wav": "link.wav: no such file; check the path",
        "pipe.wav": "not a file; leave it out",
        "side.wav": "side.json: not a description (Expected `array`, got `str` - at `$.tags`)",
    }


def test_names_of_every_kind(tmp_path: Path) -> None:
    names = ["a\nb.wav", "\U0001f941 kick.wav", "\u00fc|*.WAV", "c.wav.flac"]
    for name in names:
        audio(tmp_path / name)
    undecodable = os.fsdecode(b"\xff.wav")
    (tmp_path / undecodable).write_bytes((tmp_path / names[0]).read_bytes())
    rows = list(read_folder(tmp_path))
    assert {row.record.file for row in rows if row.record} == set(names)
    assert {row.record.id for row in rows if row.record} == {f"folder:{name}" for name in names}
    (bad,) = [row for row in rows if not row.record]
    assert (bad.raw, bad.reason) == (undecodable, "the path is not UTF-8; rename the file")


def test_loops_end_and_linked_folders_are_read_once(tmp_path: Path) -> None:
    root, elsewhere = tmp_path / "root", tmp_path / "elsewhere"
    audio(root / "sub" / "a.wav")
    audio(elsewhere / "b.wav")
    (root / "sub" / "loop").symlink_to(root)
    (root / "0first").symlink_to(root / "sub")
    (root / "other").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(root)
    found = [path.relative_to(root).as_posix() for path in audio_files(root)]
    assert found == ["sub/a.wav", "other/b.wav"]
    (root / "self").symlink_to(root / "self")
    (root / "self.wav").symlink_to(root / "self.wav")
    rows = {row.raw: row.reason for row in read_folder(root)}
    assert rows.pop("sub/a.wav") == rows.pop("other/b.wav") == ""
    assert "Too many levels of symbolic links" in rows.pop("self.wav")
    assert rows == dict.fromkeys(("self", "sub/loop", "other/back"), LOOP)


def test_numbers_of_files(tmp_path: Path) -> None:
    for name in ("000/000123.mp3", "5__ann__kick_2.wav", "7.flac", "7.wav", "kick.wav", "8.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files_by_number(tmp_path) == {
        123: "000/000123.mp3",
        5: "5__ann__kick_2.wav",
        7: "7.flac",
    }


def test_unreadable_tags_leave_the_sound(tmp_path: Path) -> None:
    """A tag of an unknown version, and RF64 named .wav, which mutagen does not read."""
    whole = audio(tmp_path / "plain.mp3").read_bytes()
    (tmp_path / "tagged.mp3").write_bytes(b"ID3\x09" + bytes(5) + b"\x0a" + bytes(10) + whole)
    soundfile.write(tmp_path / "large.wav", np.zeros((800, 2)), 8000, format="RF64")
    (tmp_path / "large.json").write_text('{"title": "Large", "license": "CC0"}')
    rows = {row.raw: row for row in read_folder(tmp_path)}
    assert all(row.record is not None and not row.reason for row in rows.values())
    assert {name: row.note.partition(" (")[0] for name, row in rows.items()} == {
        "plain.mp3": "",
        "tagged.mp3": "its tags cannot be read",
        "large.wav": "its tags cannot be read",
    }
    large = rows["large.wav"].record
    assert large is not None
    assert (large.title, large.licence, large.duration) == ("Large", "CC0", 0.1)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3", ".wav", ".aiff"])
def test_damaged_tags_never_reject_a_sound(tmp_path: Path, suffix: str) -> None:
    """Each byte of the tags in turn is another: the sound stays, with a note or without."""
    path = audio(tmp_path / f"a{suffix}", 0.05)
    if suffix in (".flac", ".ogg"):
        tags = FLAC(path) if suffix == ".flac" else OggVorbis(path)
        tags["title"], tags["license"] = "T" * 20, BY
    else:
        tags = {".mp3": MP3, ".wav": WAVE, ".aiff": AIFF}[suffix](path)
        tags.add_tags()
        tags.tags.add(TIT2(encoding=0, text="T" * 20))
        tags.tags.add(TDRC(text="0000"))
    tags.save()
    record = only(tmp_path)
    assert (record.title, record.year) == ("T" * 20, None)
    whole = path.read_bytes()
    place = whole.index(b"T" * 20)
    noted = 0
    for offset in range(max(0, place - 60), place + 4, 3):
        content = bytearray(whole)
        content[offset] ^= 0xFF
        path.write_bytes(content)
        try:
            read_audio(path)
        except AudioFileError:
            continue  # a part of the container itself
        (row,) = read_folder(tmp_path)
        assert row.record is not None, (offset, row.reason)
        noted += bool(row.note)
    assert suffix != ".mp3" or noted


def test_all_that_is_read_counts_and_the_rest_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.zeros((800, 1))
    kinds = {"aif": "AIFF", "AIFF": "AIFF", "aifc": "AIFF", "au": "AU", "snd": "AU", "caf": "CAF"}
    kinds |= {"w64": "W64", "rf64": "RF64", "wav": "WAV", "flac": "FLAC", "oga": "OGG"}
    for suffix, kind in kinds.items():
        soundfile.write(tmp_path / f"{suffix}.{suffix}", noise, 8000, format=kind)
    assert len([row for row in read_folder(tmp_path) if row.record]) == len(kinds)
    assert not caplog.records
    (tmp_path / "sub").mkdir()
    for name in ("a.m4a", "sub/b.M4A", "c.txt", "d", "._e.wav", ".DS_Store", "wav.json"):
        (tmp_path / name).write_text("{}")
    assert len(list(audio_files(tmp_path))) == len(kinds)
    [told] = [record.getMessage() for record in caplog.records]
    assert told.startswith(
        f"{tmp_path}: left out 2 .m4a, 1 ._* of macOS, 1 .txt, 1 without a suffix; recordings are "
    )
    for number in range(9):
        (tmp_path / f"a.{number}").touch()
    list(audio_files(tmp_path))
    assert " and 5 of other kinds; recordings are " in caplog.records[-1].getMessage()


def test_a_sidecar_with_a_mark_and_in_the_other_form(tmp_path: Path) -> None:
    audio(tmp_path / "Gl\u00f6ckchen.wav")
    described = b'\xef\xbb\xbf{"title": "Bell"}'
    (tmp_path / "Glo\u0308ckchen.json").write_bytes(described)
    assert only(tmp_path).title == "Bell"
