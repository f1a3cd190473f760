import io
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
import torch

from stable_audio_open.audio.files import AudioFileError, audio_blocks, audio_info, read_audio
from stable_audio_open.files.archives.tars import (
    ArchiveError,
    is_there,
    open_bytes,
    size_and_time,
    tar_of,
)

SUFFIXES = ("wav", "flac", "ogg", "mp3")
RATE = 44100


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]  # a mode among others
        for name, content in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return path


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """A folder with noise in every format."""
    folder = tmp_path / "files"
    folder.mkdir()
    generator = torch.Generator().manual_seed(0)
    for place, suffix in enumerate(SUFFIXES):
        samples = torch.rand(20000 + 700 * place, 2, generator=generator) - 0.5
        soundfile.write(folder / f"{place}.{suffix}", samples.numpy(), RATE)
    return folder


@pytest.fixture
def tar(audio: Path, tmp_path: Path) -> Path:
    """The same in a tar; one lies in a folder there, under a name that is too long for a header."""
    files = {path.name: path.read_bytes() for path in sorted(audio.iterdir())}
    return write_tar(tmp_path / "set.tar", {**files, f"{'long' * 40}/0.wav": files["0.wav"]})


@pytest.mark.parametrize("place", range(4))
def test_a_file_in_a_tar_is_read_as_the_file(audio: Path, tar: Path, place: int) -> None:
    name = f"{place}.{SUFFIXES[place]}"
    file, member = audio / name, tar / name
    assert audio_info(member) == audio_info(file)
    for wanted in (
        {},
        {"start": 0.1, "duration": 0.2},
        {"start": 0.3, "duration": 9.0, "sample_rate": 16000, "channels": 1},
    ):
        ours, theirs = read_audio(member, **wanted), read_audio(file, **wanted)  # type: ignore[arg-type]
        assert ours.sample_rate == theirs.sample_rate
        assert torch.equal(ours.samples, theirs.samples)
    blocks = [block.samples for block in audio_blocks(member, frames=6000)]
    assert torch.equal(torch.cat(blocks, dim=-1), read_audio(file).samples)
    with open_bytes(member) as opened:
        assert opened.read() == file.read_bytes()
    assert size_and_time(member) == (file.stat().st_size, tar.stat().st_mtime_ns)
    assert is_there(member)


def test_names_with_folders(audio: Path, tar: Path) -> None:
    member = tar / ("long" * 40) / "0.wav"
    assert torch.equal(read_audio(member).samples, read_audio(audio / "0.wav").samples)


def test_names_as_tar_writes_those_of_a_folder(audio: Path, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"./0.wav": (audio / "0.wav").read_bytes()})
    assert audio_info(path / "0.wav").frames == 20000


def test_a_folder_may_be_called_a_tar(audio: Path, tmp_path: Path) -> None:
    folder = audio.rename(tmp_path / "folder.tar")
    assert tar_of(folder / "0.wav") is None
    assert audio_info(folder / "0.wav").frames == 20000
    assert size_and_time(folder / "0.wav")[0] == (folder / "0.wav").stat().st_size
    with pytest.raises(AudioFileError, match=r"folder.tar/no.wav: no such file; check the path$"):
        audio_info(folder / "no.wav")


def test_a_tar_that_was_written_anew_is_read_anew(audio: Path, tar: Path) -> None:
    assert audio_info(tar / "1.flac").frames == 20700
    files = {"1.flac": (audio / "3.mp3").read_bytes()}
    write_tar(tar, files)
    assert audio_info(tar / "1.flac").frames == audio_info(audio / "3.mp3").frames
    assert not is_there(tar / "0.wav")


def cut_at(share: float) -> Callable[[bytes], bytes]:
    return lambda content: content[: int(share * len(content))]


def damage_header(content: bytes) -> bytes:
    """Overwrite the second header, which tarfile would take for the end."""
    second = content.index(b"1.flac\0")
    return content[:second] + b"\xff" * 512 + content[second + 512 :]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_at(0.5), r"set.tar: the tar is truncated \(unexpected end of data\); copy or build"),
        (lambda c: c.rstrip(b"\0"), r"set.tar: the tar is truncated"),
        (lambda c: c[:100], r"set.tar: not an uncompressed tar \(truncated header\); copy or"),
        (damage_header, r"set.tar: the tar is truncated or damaged at byte \d+; copy or build it"),
        (
            lambda _: b"",
            r"set.tar: not an uncompressed tar \(empty file\); copy or build it again$",
        ),
        (lambda _: b"words " * 500, r"set.tar: not an uncompressed tar \([^\n]*\); copy or build"),
    ],
)
def test_tars_that_are_none(tar: Path, change: Callable[[bytes], bytes], message: str) -> None:
    tar.write_bytes(change(tar.read_bytes()))
    for _ in range(2):
        with pytest.raises(AudioFileError, match=rf"^\S*{message}[^\n]*$"):
            read_audio(tar / "0.wav")


def with_header(content: bytes, place: int, field: bytes) -> bytes:
    """A tar whose first header has other bytes at a place, and its checksum again."""
    head = bytearray(content[:512])
    head[place : place + len(field)] = field
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + content[512:]


def refusal_of(path: Path) -> str:
    """What is wrong with the tar; empty where it is read."""
    try:
        is_there(path)
    except ArchiveError as error:
        return str(error)
    return ""


PAX = [b"5 a=b\n", b"99 path=x\n", b"x path=y\n", b"-5 path=y\n", b"9" * 5000 + b" path=y\n"]
PAX += [
    b"15 size=12345\n",
    b"9 size=x\n",
    b"11 size=-9\n",
    b"9 path=\xff\n",
    b"5 =b\n",
    b"12345678\n",
]
PAX += [b"22 GNU.sparse.size=1\n", b"22 GNU.sparse.map=1,x\n", b"17 mtime=nan=inf\n"]


@pytest.mark.parametrize("record", PAX)
@pytest.mark.parametrize("kind", [b"x", b"g"])
def test_extended_headers_of_any_content(tmp_path: Path, record: bytes, kind: bytes) -> None:
    """Read, or refused in one line with the name of the tar."""
    tar = write_tar(tmp_path / "set.tar", {"head": record, "0.wav": b"sound"})
    tar.write_bytes(with_header(tar.read_bytes(), 156, kind))
    assert re.fullmatch(rf"({re.escape(str(tar))}: [^\n]+)?", refusal_of(tar / "0.wav"))


@pytest.mark.parametrize("place", [100, 108, 116, 124, 136, 156, 257, 329, 345])
@pytest.mark.parametrize(
    "field", [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"-1", b"nine", b"9" * 12, b"\0", b"S", b"L"]
)
def test_headers_of_any_content(tmp_path: Path, place: int, field: bytes) -> None:
    tar = write_tar(tmp_path / "set.tar", {"head": b"some", "0.wav": b"sound"})
    tar.write_bytes(with_header(tar.read_bytes(), place, field))
    assert re.fullmatch(rf"({re.escape(str(tar))}: [^\n]+)?", refusal_of(tar / "0.wav"))


def test_a_size_that_is_negative_or_no_number_is_named(tmp_path: Path) -> None:
    tar = write_tar(tmp_path / "set.tar", {"head": b"11 size=-9\n", "0.wav": b"sound"})
    tar.write_bytes(with_header(tar.read_bytes(), 156, b"x"))
    with pytest.raises(ArchiveError, match=r"set\.tar: [^\n]*; copy or build it again$"):
        is_there(tar / "0.wav")


def test_a_compressed_tar(audio: Path, tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"0.wav": (audio / "0.wav").read_bytes()}, "w:gz")
    with pytest.raises(AudioFileError, match=r"a.tar: not an uncompressed tar \([^\n]*again$"):
        audio_info(path / "0.wav")


def test_damaged_recordings_are_named(audio: Path, tmp_path: Path) -> None:
    content = {path.name: path.read_bytes() for path in audio.iterdir()}
    halves = {name: whole[: len(whole) // 2] for name, whole in content.items()}
    path = write_tar(tmp_path / "a.tar", {**halves, "no.wav": b"", "text.flac": b"words" * 100})
    for name in halves:
        with pytest.raises(AudioFileError, match=rf"a.tar/{name}: the file is truncated[^\n]*$"):
            read_audio(path / name)
    for name, message in {
        "no.wav": r"a.tar/no.wav: the file is empty \(0 bytes\); download or export it again",
        "text.flac": r"a.tar/text.flac: not a readable audio file \([^\n]*use WAV",
        "gone.flac": r"a.tar/gone.flac: the tar holds no such file; correct the name, or build",
    }.items():
        with pytest.raises(AudioFileError, match=message):
            read_audio(path / name)
