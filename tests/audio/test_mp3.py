"""MP3 files whose length libsndfile does not know or guesses wrongly."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch.testing import assert_close

from stable_audio_open.audio.containers.mpeg import TABLE, find_frames
from stable_audio_open.audio.files import AudioFileError, audio_blocks, audio_info, read_audio

pytestmark = pytest.mark.numerical

FRAMES = 60_000
DELAY = 529
"""Samples that a decoder of MP3 lags behind; mpg123 leaves them out."""


def mp3(
    rate: int = 44100, channels: int = 2, *, mode: str = "VARIABLE", compression: float = 0.3
) -> bytes:
    """Bursts of noise, whose frames differ in size, and begin in others before them."""
    rng = np.random.default_rng(0)
    bursts = (rng.random(FRAMES // 1000) > 0.5).repeat(1000)[:, None]
    buffer = io.BytesIO()
    soundfile.write(
        buffer,
        0.3 * bursts * rng.standard_normal((FRAMES, channels)),
        rate,
        format="MP3",
        bitrate_mode=mode,
        compression_level=compression,
    )
    return buffer.getvalue()


def frame_starts(content: bytes, start: int = 0) -> list[int]:
    """Places of all frames; the first one holds their number."""
    found = []
    while start + 4 <= len(content) and content[start] == 0xFF:
        found.append(start)
        start += TABLE[content[start + 1] << 8 | content[start + 2]][0]
    return found


def counted_frames(content: bytes) -> int:
    return len(frame_starts(content)) - 1


def count_place(content: bytes) -> int:
    return next(p for name in (b"Xing", b"Info") if (p := content.find(name, 0, 200)) > 0) + 8


def saved(folder: Path, content: bytes) -> Path:
    path = folder / "a.mp3"
    path.write_bytes(content)
    return path


def samples(folder: Path, content: bytes) -> torch.Tensor:
    path = saved(folder, content)
    found = read_audio(path).samples[0]
    assert audio_info(path).frames == found.shape[-1]
    return found


KINDS = [
    (rate, channels, mode, compression)
    for rate, channels in ((44100, 2), (48000, 1), (22050, 2), (8000, 1))
    for mode in ("VARIABLE", "CONSTANT")
    for compression in (0.3, 0.7)
]


@pytest.mark.parametrize(("rate", "channels", "mode", "compression"), KINDS)
def test_all_frames_are_read_without_their_number(
    tmp_path: Path, rate: int, channels: int, mode: str, compression: float
) -> None:
    """Without the frame that tells it: what is left of the sound is the same, with its delay."""
    content = mp3(rate, channels, mode=mode, compression=compression)
    whole = samples(tmp_path, content)
    assert whole.shape == (channels, FRAMES)
    bare = samples(tmp_path, content[frame_starts(content)[1] :])
    per_frame = 1152 if rate > 30000 else 576
    assert bare.shape[-1] == counted_frames(content) * per_frame - DELAY
    lag = 576
    common = min(FRAMES, bare.shape[-1] - lag)
    assert common > FRAMES - per_frame
    assert_close(bare[:, lag : lag + common], whole[:, :common])


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "channels", "mode", "compression"), KINDS)
def test_crops_are_those_of_the_whole(
    tmp_path: Path, rate: int, channels: int, mode: str, compression: float
) -> None:
    """A frame may begin many frames before its header, more than libsndfile goes back."""
    content = mp3(rate, channels, mode=mode, compression=compression)
    for kind in (content, content[frame_starts(content)[1] :]):
        whole = samples(tmp_path, kind)
        for first in np.random.default_rng(1).integers(0, whole.shape[-1] - 3000, 8):
            part = read_audio(tmp_path / "a.mp3", start=first / rate, duration=2500 / rate)
            assert_close(part.samples[0], whole[:, first : first + 2500])
        blocks = [block.samples[0] for block in audio_blocks(tmp_path / "a.mp3", frames=7000)]
        assert_close(torch.cat(blocks, dim=-1), whole)


def test_two_joined_files_are_read_to_the_end(tmp_path: Path) -> None:
    """As `cat` joins them, and with the tags that each had."""
    content = mp3()
    whole = samples(tmp_path, content)
    tags = b"TAG" + bytes(125) + b"ID3\3\0\0\0\0\1\0" + bytes(128)
    for between in (b"", tags, bytes(500), b"APETAGEX" + bytes(24)):
        joined = samples(tmp_path, content + between + content)
        assert_close(joined[:, :FRAMES], whole)
        per_file = counted_frames(content) * 1152
        # The second one's number of frames is a frame of silence, unless it follows a tag.
        start = per_file if between else per_file + 1152
        assert joined.shape[-1] == start + per_file - (DELAY + 576)
        assert_close(joined[:, start:][:, 5000:50000], whole[:, 5000:50000])


@pytest.mark.parametrize("claimed", [0, 1, 20, 10**9, 2**32 - 1])
def test_a_wrong_number_of_frames_is_no_matter(tmp_path: Path, claimed: int) -> None:
    content = bytearray(mp3())
    whole = samples(tmp_path, bytes(content))
    struct.pack_into(">I", content, count_place(content), claimed)
    found = samples(tmp_path, bytes(content))
    assert_close(found[:, :FRAMES], whole)
    assert found.shape[-1] == counted_frames(bytes(content)) * 1152 - (DELAY + 576)


def test_a_number_of_frames_that_is_not_there_is_a_cut_file(tmp_path: Path) -> None:
    content = mp3()
    starts = frame_starts(content)
    for place in (len(content) // 2, starts[-2], starts[-1] - 1):
        with pytest.raises(AudioFileError, match=r"a.mp3: the file is truncated \(it ends before"):
            audio_info(saved(tmp_path, content[:place]))


def test_a_tail_of_less_than_a_frame_may_be_missing(tmp_path: Path) -> None:
    content = mp3()
    found = samples(tmp_path, content[:-30])
    assert FRAMES - 1152 < found.shape[-1] < FRAMES
    bare = content[frame_starts(content)[1] :]
    assert samples(tmp_path, bare[:-30]).shape[-1] == (counted_frames(content) - 1) * 1152 - DELAY


@pytest.mark.parametrize("claimed", [0, 7, 30, 3000, 10**6, 2**28 - 1])
def test_the_size_of_a_tag_may_be_wrong(tmp_path: Path, claimed: int) -> None:
    """libsndfile looks for sound behind it, which is amid the sound or behind the file."""
    content = mp3()
    field = b"TIT2" + struct.pack(">I", 20) + bytes(3) + b"a" * 19
    size = bytes(claimed >> shift & 0x7F for shift in (21, 14, 7, 0))
    found = samples(tmp_path, b"ID3\3\0\0" + size + field + content)
    assert_close(found[:, :FRAMES], samples(tmp_path, content))


def test_what_stands_behind_the_sound_is_no_matter(tmp_path: Path) -> None:
    content = mp3()
    whole = samples(tmp_path, content)
    for rest in (b"TAG" + bytes(125), bytes(5000) + b"some words", b"LYRICSBEGIN...LYRICS200"):
        assert_close(samples(tmp_path, content + rest), whole)


def test_a_stream_that_begins_amid_a_frame_is_read(tmp_path: Path) -> None:
    """The first frames lack bytes of those before, and are silent instead of left out."""
    for kind in ((44100, 2, 0.3), (48000, 1, 0.7), (8000, 1, 0.7)):
        content = mp3(*kind[:2], mode="CONSTANT", compression=kind[2])
        starts = frame_starts(content)
        whole = samples(tmp_path, content)
        found = samples(tmp_path, content[starts[10] + 20 :])
        per_frame = 1152 if kind[0] > 30000 else 576
        assert found.shape[-1] == len(starts[11:]) * per_frame - DELAY
        first = 10 * per_frame - 576
        inside = slice(20_000, 40_000)
        assert_close(found[:, inside], whole[:, first:][:, inside])


def test_damage_amid_the_frames_is_found(tmp_path: Path) -> None:
    content = bytearray(mp3())
    content[frame_starts(bytes(content))[20]] = 0x7F
    with pytest.raises(AudioFileError, match=r"a.mp3: the file is damaged: \d+ bytes at byte \d+"):
        audio_info(saved(tmp_path, bytes(content)))


def test_joined_files_of_two_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match=r"a.mp3: its sample rate or kind changes at byte"):
        audio_info(saved(tmp_path, mp3(44100) + mp3(48000)))


@pytest.mark.parametrize(("second_byte", "per_frame"), [(0xFF, 384), (0xFD, 1152), (0xF5, 1152)])
def test_the_other_layers(tmp_path: Path, second_byte: int, per_frame: int) -> None:
    """Silence in layers I and II, and II of MPEG-2; libsndfile goes by the first bit rate."""

    def frames(count: int, bits: int) -> bytes:
        header = bytes([0xFF, second_byte, bits << 4, 0])
        return count * header.ljust(TABLE[second_byte << 8 | bits << 4][0], b"\0")

    for content in (frames(200, 9), frames(100, 4) + frames(100, 12)):
        assert samples(tmp_path, content).shape == (2, 200 * per_frame)
    with pytest.raises(
        AudioFileError, match=r"with a variable bit rate.; convert it to WAV or FLAC"
    ):
        audio_info(saved(tmp_path, frames(100, 12) + frames(100, 4)))


def test_a_file_that_was_changed_is_looked_at_again(tmp_path: Path) -> None:
    content = mp3()
    bare = content[frame_starts(content)[1] :]
    before = samples(tmp_path, content)
    assert samples(tmp_path, bare).shape != before.shape
    assert_close(samples(tmp_path, content), before)


class Counting(io.FileIO):
    """Counts the bytes that are read."""

    count = 0

    def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
        found = super().readinto(buffer)
        self.count += found
        return found


def opened(folder: Path, content: bytes) -> io.BufferedReader:
    return io.BufferedReader(Counting(saved(folder, content)))


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff\xfb\x90\x64" * 100_000,
        b"\xff" * 400_000,
        (b"\xff\xfb\x90\x64" + bytes(413) + b"\xff\xfb\x90\x64" + bytes(400)) * 500,
    ],
)
def test_headers_without_frames_are_read_a_few_times_at_most(tmp_path: Path, junk: bytes) -> None:
    """Each cost a reading of the frames that may follow it."""
    with opened(tmp_path, junk) as file:
        found = find_frames(file, 0, len(junk))
        count = file.raw.count  # type: ignore[attr-defined]
    assert found is None or junk[417:421] == b"\xff\xfb\x90\x64"
    assert count < 3 * len(junk)


@pytest.mark.parametrize(
    "before", [0, 1, 8190, 8191, 8193, 16_382, 16_383, 16_384, 20_000, 3_000_000]
)
def test_frames_are_found_wherever_they_begin(tmp_path: Path, before: int) -> None:
    frames = (b"\xff\xfb\x90\x64" + bytes(413)) * 4
    content = b"\xff\xfb\xff" * (before // 3) + bytes(before % 3) + frames
    with opened(tmp_path, content) as file:
        assert find_frames(file, 0, len(content)) == before
    # Of the last frames there need not be three.
    with opened(tmp_path, content[: before + 417]) as file:
        assert find_frames(file, 0, before + 417) == before
