"""Recordings whose headers say too much, too little or nothing of how long they are."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stable_audio_open.audio.containers.flac import crc, last_sample
from stable_audio_open.audio.files import AudioFileError, audio_blocks, audio_info, read_audio

FRAMES = 20_000
SUFFIXES = {
    "WAV": "PCM_16",
    "WAVEX": "FLOAT",
    "RF64": "PCM_24",
    "W64": "PCM_16",
    "AIFF": "PCM_24",
    "AU": "PCM_16",
    "CAF": "PCM_16",
    "FLAC": "PCM_16",
    "OGG": "VORBIS",
    "MP3": "MPEG_LAYER_III",
}
"""Kinds of files that are read, with an encoding."""


def noise(frames: int = FRAMES, channels: int = 1) -> np.ndarray:
    return 0.3 * np.random.default_rng(0).standard_normal((frames, channels)).astype("float32")


def written(kind: str, subtype: str | None = None, rate: int = 44100) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(), rate, format=kind, subtype=subtype or SUFFIXES.get(kind))
    return buffer.getvalue()


def saved(folder: Path, content: bytes, name: str = "a.bin") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("kind", SUFFIXES)
def test_a_file_is_read_whole_or_refused_as_truncated(tmp_path: Path, kind: str) -> None:
    content = written(kind)
    assert read_audio(saved(tmp_path, content)).samples.shape == (1, 1, FRAMES)
    for share in (0.02, 0.5, 0.95):
        path = saved(tmp_path, content[: int(share * len(content))])
        with pytest.raises(AudioFileError, match=r"^\S*a.bin: [^\n]*$") as caught:
            read_audio(path)
        if share > 0.1:
            assert "truncated" in str(caught.value)


def test_rest_behind_the_samples_is_no_matter(tmp_path: Path) -> None:
    for kind in ("WAV", "AIFF", "CAF", "AU"):
        path = saved(tmp_path, written(kind) + b"LIST\4\0\0\0test")
        assert audio_info(path).frames == FRAMES


@pytest.mark.parametrize(
    "length", [0, 0x7FFFF000, 0x7FFFFFDB, 0x7FFFFFFF, 0x80000000, 0xFFFFFFDB, 0xFFFFFFFF]
)
@pytest.mark.parametrize("magic", [b"RIFF", b"RIFX"])
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path: Path, magic: bytes, length: int) -> None:
    """Programs that cannot seek leave such lengths of the samples, and of all, behind."""
    endian, order = ("LITTLE", "<I") if magic == b"RIFF" else ("BIG", ">I")
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(), 44100, format="WAV", subtype="FLOAT", endian=endian)
    content = bytearray(buffer.getvalue())
    assert content[:4] == magic
    place = content.index(b"data") + 4
    content[place : place + 4] = content[4:8] = struct.pack(order, length)
    found = read_audio(saved(tmp_path, bytes(content))).samples[0]
    assert torch.equal(found, torch.from_numpy(noise().T))
    part = read_audio(tmp_path / "a.bin", start=0.1, duration=0.1).samples[0]
    assert torch.equal(part, found[:, 4410:8820])


def test_a_wav_without_samples_holds_none(tmp_path: Path) -> None:
    content = bytearray(written("WAV"))
    place = content.index(b"data") + 4
    content[place : place + 4] = bytes(4)
    for rest in (b"", b"LIST\4\0\0\0test"):
        with pytest.raises(AudioFileError, match=r"holds no audio \(0 samples\)"):
            read_audio(saved(tmp_path, bytes(content[: place + 4]) + rest))


def test_other_files_from_a_pipe_are_read_to_their_end(tmp_path: Path) -> None:
    cases: list[tuple[str, bytes, int, str, list[int]]] = [
        ("AIFF", b"SSND", 4, ">I", [0, 0x7F000008, 0xFFFFFFFF]),
        ("AU", b".snd", 8, ">I", [0, 0x7FFFFFFF, 0xFFFFFFFF]),
        ("CAF", b"data", 4, ">q", [-1, 2**63 - 1]),
        ("RF64", b"ds64", 16, "<Q", [0, 2**64 - 1]),
        ("W64", b"data\xf3\xac", 16, "<Q", [0, 24, 2**63 - 1]),
    ]
    for kind, name, offset, form, lengths in cases:
        whole = written(kind, "PCM_16")
        place = whole.index(name) + offset
        for length in lengths:
            content = bytearray(whole)
            struct.pack_into(form, content, place, length)
            found = read_audio(saved(tmp_path, bytes(content)))
            assert found.samples.shape == (1, 1, FRAMES), (kind, length)


def test_a_flac_from_a_pipe_is_counted(tmp_path: Path) -> None:
    content = bytearray(written("FLAC"))
    whole = read_audio(saved(tmp_path, bytes(content))).samples
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path = saved(tmp_path, bytes(content))
    assert audio_info(path).frames == FRAMES
    assert torch.equal(read_audio(path).samples, whole)
    assert torch.equal(read_audio(path, start=0.2).samples, whole[..., 8820:])


@pytest.mark.parametrize("claimed", [1, 15_000, FRAMES - 1])
def test_a_flac_that_is_longer_than_its_header_says_is_read_whole(
    tmp_path: Path, claimed: int
) -> None:
    """libsndfile stops where the header says."""
    content = bytearray(written("FLAC"))
    whole = read_audio(saved(tmp_path, bytes(content))).samples
    content[22:26] = struct.pack(">I", claimed)
    for tag in (b"", b"TAG" + bytes(125)):
        path = saved(tmp_path, bytes(content) + tag)
        assert audio_info(path).frames == FRAMES
        assert torch.equal(read_audio(path).samples, whole)
    content[22:26] = bytes(4)
    with pytest.raises(AudioFileError, match=r"its length was never written, and it cannot be de"):
        audio_info(saved(tmp_path, bytes(content) + b"no frame"))


@pytest.mark.parametrize(
    ("rate", "subtype", "channels", "frames"),
    [
        (44100, "PCM_24", 2, 4096 * 3),
        (8000, "PCM_S8", 1, 1),
        (96000, "PCM_16", 2, 4096 * 200 + 7),
        (12345, "PCM_16", 6, 4096 * 130 + 300),
    ],
)
def test_the_last_frame_of_a_flac_is_found(
    tmp_path: Path, rate: int, subtype: str, channels: int, frames: int
) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(frames, channels), rate, format="FLAC", subtype=subtype)
    content = buffer.getvalue()
    assert last_sample(content[-(1 << 17) :], fixed=4096) == frames
    assert last_sample(content[-(1 << 12) : -1], fixed=4096) is None
    assert audio_info(saved(tmp_path, content)).frames == frames


def test_two_flacs_in_a_row_are_refused(tmp_path: Path) -> None:
    buffers = [io.BytesIO(), io.BytesIO()]
    for buffer, frames in zip(buffers, (FRAMES, 2 * FRAMES), strict=True):
        soundfile.write(buffer, noise(frames), 44100, format="FLAC")
    short, long = (buffer.getvalue() for buffer in buffers)
    for content in (short + long, long + short):
        with pytest.raises(AudioFileError, match=r"a.bin: the file is truncated"):
            read_audio(saved(tmp_path, content))


@pytest.mark.parametrize("kind", ["FLAC", "OGG"])
def test_a_length_that_the_file_cannot_hold_takes_no_memory(tmp_path: Path, kind: str) -> None:
    content = bytearray(written(kind))
    if kind == "FLAC":
        content[21] |= 0x0F
    else:
        page = content.rindex(b"OggS")
        content[page + 6 : page + 14] = struct.pack("<Q", 1 << 40)
        content[page + 22 : page + 26] = bytes(4)
        content[page + 22 : page + 26] = struct.pack("<I", ogg_checksum(bytes(content[page:])))
    if kind == "FLAC":
        content += b"no frame"
    path = saved(tmp_path, bytes(content))
    with pytest.raises(AudioFileError, match=r"a.bin: the file is truncated[^\n]*again$"):
        read_audio(path)


def ogg_checksum(page: bytes) -> int:
    found = 0
    for byte in page:
        found ^= byte << 24
        for _ in range(8):
            found = (found << 1 ^ (0x04C11DB7 if found >> 31 else 0)) & 0xFFFFFFFF
    return found


def ogg_pages(content: bytes) -> list[bytes]:
    return [b"OggS" + page for page in content.split(b"OggS")[1:]]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
@pytest.mark.parametrize("page", [1, 3, -1])
def test_a_flipped_bit_in_an_ogg_is_found(tmp_path: Path, subtype: str, page: int) -> None:
    """libsndfile leaves the page out: the last one shortens the file, another splices crops."""
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(48000 * 3), 48000, format="OGG", subtype=subtype)
    pages = ogg_pages(buffer.getvalue())
    assert len(pages) > 4
    assert audio_info(saved(tmp_path, b"".join(pages))).frames == 48000 * 3
    start = sum(map(len, pages[:page] if page > 0 else pages[:-1]))
    content = bytearray(b"".join(pages))
    content[start + len(pages[page]) - 20] ^= 1
    told = rf"a.bin: the file is damaged \(the page at byte {start} is not as it was written\); do"
    with pytest.raises(AudioFileError, match=told):
        audio_info(saved(tmp_path, bytes(content)))


def test_a_page_that_is_missing_in_an_ogg_is_found(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, noise(48000 * 3), 48000, format="OGG", subtype="VORBIS")
    pages = ogg_pages(buffer.getvalue())
    path = saved(tmp_path, b"".join([*pages[:-3], *pages[-2:]]))
    told = r"a.bin: the file is damaged \(pages are missing at byte \d+\); download or"
    with pytest.raises(AudioFileError, match=told):
        read_audio(path, start=0.0, duration=0.1)


def test_a_chained_ogg_is_refused(tmp_path: Path) -> None:
    """libsndfile reads the first of them alone."""
    one = written("OGG")
    with pytest.raises(AudioFileError, match="holds several recordings one after the other"):
        read_audio(saved(tmp_path, one + one))


@pytest.mark.parametrize(
    ("kind", "subtype", "excess"),
    [
        ("WAV", "IMA_ADPCM", 512),
        ("WAV", "MS_ADPCM", 0),
        ("WAV", "GSM610", 0),
        ("WAV", "G721_32", 0),
        ("WAV", "NMS_ADPCM_16", 0),
        ("W64", "GSM610", 320),
        ("AIFF", "GSM610", 0),
        ("AIFF", "IMA_ADPCM", 64),
        ("AIFF", "DWVW_16", 0),
        ("AU", "G721_32", 120),
        ("CAF", "ALAC_16", 0),
    ],
)
def test_compressed_encodings(tmp_path: Path, kind: str, subtype: str, excess: int) -> None:
    """Their last block may be longer than the recording; where that is written, it ends there."""
    path = saved(tmp_path, written(kind, subtype))
    frames = audio_info(path).frames
    assert FRAMES <= frames <= FRAMES + excess
    whole = read_audio(path).samples
    assert whole.shape == (1, 1, frames)
    part = read_audio(path, start=0.25, duration=0.1).samples
    assert torch.equal(part, whole[..., 11025:15435])
    blocks = torch.cat([block.samples for block in audio_blocks(path, frames=3000)], dim=-1)
    assert torch.equal(blocks, whole)


@pytest.mark.parametrize("kind", ["AVR", "IRCAM", "NIST", "PAF", "PVF", "SVX", "VOC"])
def test_containers_that_cannot_be_checked_are_refused(tmp_path: Path, kind: str) -> None:
    path = saved(tmp_path, written(kind, "PCM_16"))
    with pytest.raises(AudioFileError, match=r"a.bin: is .* cut from a whole one; convert it to W"):
        read_audio(path)


@pytest.mark.parametrize("rate", [1, 999, 768_001, 2**31 - 1])
def test_rates_of_no_sound_are_refused(tmp_path: Path, rate: int) -> None:
    content = bytearray(written("WAV"))
    place = content.index(b"fmt ") + 12
    content[place : place + 4] = struct.pack("<I", rate)
    path = saved(tmp_path, bytes(content))
    for read in (audio_info, read_audio):
        with pytest.raises(AudioFileError, match=rf"is {rate} Hz; allowed: 1000 to 768000; corr"):
            read(path)
    for limit in (1000, 768_000):
        content[place : place + 4] = struct.pack("<I", limit)
        found = read_audio(saved(tmp_path, bytes(content)), sample_rate=16000)
        assert found.samples.shape[-1] == -(-FRAMES * 16000 // limit)


def test_empty_chunks_without_end_are_passed_over(tmp_path: Path) -> None:
    for magic in (b"RIFF\0\0\0\0WAVE", b"FORM\0\0\0\0AIFF", b"caff\0\1\0\0", b"riff" + bytes(36)):
        with pytest.raises(AudioFileError, match=r"a.bin: the file is truncated"):
            audio_info(saved(tmp_path, magic + bytes(4_000_000)))


def test_a_flac_of_false_headers_takes_no_long_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Headers with right checksums, of frames without: each cost a sum over the rest."""
    header = bytes([0xFF, 0xF8, 0xC9, 0x18, 0x00])
    header += bytes([crc(header, 0x07, 8)])
    summed = 0

    def counting(content: bytes, polynomial: int, bits: int) -> int:
        nonlocal summed
        summed += len(content)
        return crc(content, polynomial, bits)

    monkeypatch.setattr("stable_audio_open.audio.containers.flac.crc", counting)
    tail = header * 2000
    assert last_sample(tail, fixed=4096) is None
    assert summed < 30 * len(tail)
    assert audio_info(saved(tmp_path, written("FLAC") + tail)).frames == FRAMES


def ape(length: int, *, header: bool) -> bytes:
    """A tag of so many bytes of items."""

    def part(flags: int) -> bytes:
        return b"APETAGEX" + struct.pack("<IIII", 2000, length + 32, 1, flags) + bytes(8)

    both = 0x8000_0000 if header else 0
    return part(both | 0x2000_0000) * header + b"x" * length + part(both)


ID3V1 = b"TAG" + bytes(125)
ID3 = b"ID3\4\0\0\0\0\0\x0a" + bytes(10)


@pytest.mark.parametrize("before", [b"", ID3, ID3 * 2, ID3 + bytes(100)])
@pytest.mark.parametrize(
    "behind",
    [
        b"", ID3V1, ape(100, header=True), ape(0, header=False), ape(200_000, header=True),
        ape(9, header=True) + ID3V1, ID3V1 + ape(9, header=False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("total", [0, 5000, FRAMES, FRAMES + 1])
def test_a_flac_between_tags_is_read_whole_or_refused(
    tmp_path: Path, before: bytes, behind: bytes, total: int
) -> None:
    content = bytearray(written("FLAC"))
    whole = read_audio(saved(tmp_path, bytes(content), "whole.flac")).samples
    content[21:26] = bytes([content[21] & 0xF0]) + total.to_bytes(4, "big")
    path = saved(tmp_path, before + bytes(content) + behind)
    if total > FRAMES:
        with pytest.raises(AudioFileError, match="is truncated"):
            read_audio(path)
    else:
        assert audio_info(path).frames == FRAMES
        assert torch.equal(read_audio(path).samples, whole)


@pytest.mark.parametrize("length", [0, 31, 10**6, 2**32 - 1])
def test_the_size_of_an_ape_tag_may_lie(tmp_path: Path, length: int) -> None:
    foot = b"APETAGEX" + struct.pack("<IIII", 2000, length, 1, 0x8000_0000) + bytes(8)
    assert audio_info(saved(tmp_path, written("FLAC") + foot)).frames == FRAMES
