import math
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stable_audio_open.audio.files import (
    AudioFileError,
    AudioInfo,
    audio_blocks,
    audio_info,
    read_audio,
)

pytestmark = pytest.mark.numerical


def write(path: Path, samples: torch.Tensor, rate: int = 44100, subtype: str | None = None) -> Path:
    """Write [channels, time] samples."""
    soundfile.write(path, samples.T.numpy(), rate, subtype=subtype)
    return path


def noise(channels: int = 2, length: int = 44100) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(channels, length, generator=generator) - 0.5


def cut(path: Path) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


def test_a_float_file_is_read_exactly(tmp_path: Path) -> None:
    samples = noise()
    audio = read_audio(write(tmp_path / "a.wav", samples, subtype="FLOAT"))
    assert audio.sample_rate == 44100
    assert torch.equal(audio.samples[0], samples)
    assert audio.samples.is_contiguous()


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_info_and_length_agree(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"a.{suffix}", noise(length=50000))
    assert audio_info(path) == AudioInfo(frames=50000, sample_rate=44100, channels=2)
    assert audio_info(path).duration == 50000 / 44100
    assert read_audio(path).samples.shape == (1, 2, 50000)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("rate", [None, 16000, 48000, 44100])
@pytest.mark.parametrize(("start", "duration"), [(0.0, 0.1), (0.4, 0.2), (0.95, 2.0), (0.5, None)])
def test_an_excerpt_equals_that_part_of_the_whole(
    tmp_path: Path, suffix: str, rate: int | None, start: float, duration: float | None
) -> None:
    path = write(tmp_path / f"a.{suffix}", noise())
    whole = read_audio(path, sample_rate=rate)
    part = read_audio(path, sample_rate=rate, start=start, duration=duration)
    first = round(start * whole.sample_rate)
    last = None if duration is None else first + round(duration * whole.sample_rate)
    torch.testing.assert_close(part.samples, whole.samples[..., first:last])


def test_channels_are_converted(tmp_path: Path) -> None:
    mono = write(tmp_path / "mono.wav", noise(1), subtype="FLOAT")
    stereo = write(tmp_path / "stereo.wav", noise(2), subtype="FLOAT")
    assert torch.equal(read_audio(mono, channels=2).samples[0], noise(1).expand(2, -1))
    torch.testing.assert_close(read_audio(stereo, channels=1).samples[0], noise(2).mean(0)[None])
    six = write(tmp_path / "six.wav", noise(6))
    with pytest.raises(AudioFileError, match=r"six.wav: cannot turn audio of 6 channels into 2"):
        read_audio(six, channels=2)


def test_telephone_quality_is_welcome(tmp_path: Path) -> None:
    """8 kHz mono becomes 44.1 kHz stereo."""

    def sine(rate: int) -> torch.Tensor:
        time = torch.arange(rate, dtype=torch.float64) / rate
        return 0.5 * torch.sin(2 * math.pi * 440 * time).float()

    path = write(tmp_path / "a.wav", sine(8000)[None], 8000)
    audio = read_audio(path, sample_rate=44100, channels=2)
    assert audio.samples.shape == (1, 2, 44100)
    inside = slice(4410, -4410)
    # The source has 16 bits, and the ends lack the sine's past and future.
    torch.testing.assert_close(audio.samples[0, 1, inside], sine(44100)[inside], rtol=0, atol=1e-4)


def test_silence_is_audio(tmp_path: Path) -> None:
    audio = read_audio(write(tmp_path / "a.flac", torch.zeros(2, 1000)))
    assert audio.sound_end() == [0.0]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    path = cut(write(tmp_path / f"a.{suffix}", noise()))
    with pytest.raises(AudioFileError, match=rf"^\S*a.{suffix}: the file is truncated[^\n]*again$"):
        read_audio(path)


def test_a_wav_cut_before_its_samples(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise())
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(AudioFileError, match=r"a.wav: the file is truncated"):
        audio_info(path)


@pytest.mark.parametrize("container", ["RF64", "WAVEX", "AIFF"])
def test_other_containers(tmp_path: Path, container: str) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise().T.numpy(), 44100, format=container, subtype="FLOAT")
    assert torch.equal(read_audio(path).samples[0], noise())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan(tmp_path: Path, value: float) -> None:
    path = write(tmp_path / "a.wav", torch.full((2, 100), value), subtype="FLOAT")
    with pytest.raises(AudioFileError, match=r"^\S*a.wav: holds NaN or infinite samples; [^\n]*$"):
        read_audio(path)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(AudioFileError, match=r"^\S*absent.wav: no such file; check the path$"):
        read_audio(tmp_path / "absent.wav")
    with pytest.raises(AudioFileError, match=r"cannot be opened \(Is a directory\); check"):
        read_audio(tmp_path)
    (tmp_path / "empty.flac").touch()
    with pytest.raises(AudioFileError, match=r"empty.flac: the file is empty \(0 bytes\)"):
        audio_info(tmp_path / "empty.flac")
    (tmp_path / "text.wav").write_text("no audio at all, just words")
    with pytest.raises(
        AudioFileError, match=r"text.wav: not a readable audio file \([^\n]*use WAV"
    ):
        read_audio(tmp_path / "text.wav")
    soundfile.write(tmp_path / "zero.wav", np.zeros((0, 2)), 44100)
    with pytest.raises(AudioFileError, match=r"zero.wav: holds no audio \(0 samples\); leave it"):
        read_audio(tmp_path / "zero.wav")


def test_start_and_duration_have_limits(tmp_path: Path) -> None:
    path = write(tmp_path / "a.wav", noise())
    for start in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"start must lie within 0..1.000 s, got"):
            read_audio(path, start=start)
    with pytest.raises(ValueError, match="duration must be positive, got 0"):
        read_audio(path, duration=0.0)


@pytest.mark.parametrize("name", ["a.raw", "a.RAW", "\udcff\udcfe.wav", "\udcffa.raw", "no suffix"])
@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF"])
def test_a_recording_is_known_by_what_is_in_it(tmp_path: Path, name: str, kind: str) -> None:
    """soundfile takes a name in .raw for samples without a header, and names for UTF-8."""
    plain, odd = tmp_path / "plain", tmp_path / name
    soundfile.write(plain, np.linspace(-0.5, 0.5, 4000), 8000, format=kind)
    odd.write_bytes(plain.read_bytes())
    assert audio_info(odd) == audio_info(plain)
    assert torch.equal(read_audio(odd).samples, read_audio(plain).samples)
    odd.write_bytes(b"samples without a header")
    with pytest.raises(AudioFileError, match="not a readable audio file"):
        audio_info(odd)


def test_a_recording_in_a_tar_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    soundfile.write(plain, np.linspace(-0.5, 0.5, 4000), 8000, format="WAV")
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(plain, "a.raw")
    assert audio_info(tmp_path / "set.tar" / "a.raw") == audio_info(plain)


def test_a_flac_from_a_pipe_is_known_by_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    soundfile.write(path, np.linspace(-0.5, 0.5, 20_000), 8000, format="FLAC")
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)  # the number of samples
    content += b"something behind the last frame"
    path.write_bytes(content)
    with pytest.raises(AudioFileError, match="the file is damaged: its length was never"):
        audio_info(path)


def test_samples_that_are_no_sound_are_refused(tmp_path: Path) -> None:
    """They ended in a message that blamed the checkpoint for NaN."""
    path = write(tmp_path / "a.wav", noise() * 1e38, subtype="FLOAT")
    told = r"a.wav: peaks at \S+e\+37, and full scale is 1: its samples are no sound; export"
    with pytest.raises(AudioFileError, match=told):
        read_audio(path)
    with pytest.raises(AudioFileError, match=told):
        list(audio_blocks(path))
    loud = write(tmp_path / "b.wav", noise() * 1e5, subtype="FLOAT")
    assert read_audio(loud).samples.abs().max() > 4e4
