import errno
import logging
import os
from pathlib import Path

import pytest
import soundfile
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.audio.level.peaks import limit_peak
from stable_audio_open.audio.writing.formats import check_form
from stable_audio_open.audio.writing.places import AudioSaveError
from stable_audio_open.audio.writing.saving import save_audio
from tests.full_disk import full_disk

RATE = 44100


def noise(batch: int = 1, seconds: float = 0.3, peak: float = 0.9) -> Audio:
    generator = torch.Generator().manual_seed(0)
    samples = torch.rand(batch, 2, round(seconds * RATE), generator=generator) * 2 - 1
    samples *= peak / samples.abs().max()
    return Audio(samples, RATE, tuple(range(batch)))


def tone(seconds: float) -> Audio:
    time = torch.arange(round(seconds * RATE)) / RATE
    return Audio((0.5 * torch.sin(2764.6 * time)).expand(1, 2, -1).contiguous(), RATE)


def read(path: Path) -> torch.Tensor:
    return torch.from_numpy(soundfile.read(path, dtype="float32", always_2d=True)[0]).T


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_24_bit_files_are_exact_to_half_a_step(tmp_path: Path, suffix: str) -> None:
    audio = noise()
    (path,) = audio.save(tmp_path / f"a{suffix}")
    assert soundfile.info(path).subtype == "PCM_24"
    # libsndfile scales by 2^23 - 1 when writing and by 2^23 when reading.
    torch.testing.assert_close(read(path), audio.samples[0], rtol=0, atol=1.5 * 2**-23)


def test_float_files_do_not_hold_the_time(tmp_path: Path) -> None:
    """Behind the version of the chunk with the peaks, where libsndfile puts it."""
    content = save_audio(tmp_path / "a.wav", torch.ones(2, 9), RATE, subtype="float").read_bytes()
    peaks = content.index(b"PEAK") + 8
    assert content[peaks : peaks + 8] == b"\x01\0\0\0" + bytes(4)


def test_a_loud_item_keeps_its_level_on_request(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loud = torch.tensor([[2.0, -3.0], [0.5, 0.0]])
    path = save_audio(tmp_path / "a.wav", loud, RATE, subtype="float", keep_level=True)
    assert torch.equal(read_audio(path).samples[0], loud)
    assert not caplog.records
    with pytest.raises(ValueError, match=r"b\.wav: only float samples keep their level; pass sub"):
        save_audio(tmp_path / "b.wav", loud, RATE, keep_level=True)


def test_float_files_are_exact(tmp_path: Path) -> None:
    audio = noise()
    audio.save(tmp_path / "a.wav", subtype="float")
    assert soundfile.info(tmp_path / "a.wav").subtype == "FLOAT"
    assert torch.equal(read(tmp_path / "a.wav"), audio.samples[0])


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_16_bit_files_are_exact_to_half_a_step(tmp_path: Path, suffix: str) -> None:
    audio = noise()
    (path,) = audio.save(tmp_path / f"a{suffix}", subtype="pcm16")
    assert soundfile.info(path).subtype == "PCM_16"
    torch.testing.assert_close(read(path), audio.samples[0], rtol=0, atol=1.5 * 2**-15)


@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_lossy_files_last_as_long_and_sound_alike(tmp_path: Path, suffix: str) -> None:
    audio = tone(2.0)
    (path,) = audio.save(tmp_path / f"a{suffix}")
    found = read(path)
    assert found.shape == audio.samples[0].shape
    error = found - audio.samples[0]
    assert error.square().mean() < 1e-3 * audio.samples.square().mean()


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_a_loud_item_is_turned_down_as_a_whole(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    audio = Audio(tone(1.0).samples * 4, RATE)
    with caplog.at_level(logging.WARNING):
        (path,) = audio.save(tmp_path / f"a{suffix}")
    assert "turned down by 6.0" in caplog.text
    # No flat tops: what was written is the tone itself, as loud as it can be.
    peak = 0.999 if suffix in (".ogg", ".mp3") else 1.0
    expected = audio.samples[0] * (peak / audio.samples.abs().max())
    error = read(path) - expected
    assert error.square().mean() < 1e-4 * expected.square().mean()


def test_the_peak_limit_keeps_proportions() -> None:
    samples = torch.tensor([[2.0, -1.0, 0.5]])
    limited, decibels = limit_peak(samples)
    torch.testing.assert_close(limited, samples / 2)
    assert decibels == pytest.approx(6.0206, abs=1e-4)
    assert limit_peak(samples / 2) == (pytest.approx(samples / 2), 0.0)


def test_rounding_is_no_peak(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = torch.tensor([[1.0000001, -0.5, -1.0000005]])
    limited, decibels = limit_peak(samples)
    assert (limited.tolist(), decibels) == ([[1.0, -0.5, -1.0]], 0.0)
    save_audio(tmp_path / "a.wav", samples, RATE)
    assert caplog.text == ""
    assert limit_peak(torch.tensor([[1.00001]]))[1] > 0


@pytest.mark.parametrize(("rate", "channels"), [(200_001, 2), (44_100, 256)])
def test_what_would_crash_the_encoder_is_refused(tmp_path: Path, rate: int, channels: int) -> None:
    with pytest.raises(
        ValueError, match=rf"a.ogg: .ogg cannot hold {channels} channels at {rate} Hz \(at most 255"
    ):
        save_audio(tmp_path / "a.ogg", torch.zeros(channels, 9), rate)
    with pytest.raises(ValueError, match=rf".ogg cannot hold {channels} channels at {rate} Hz"):
        check_form(tmp_path / "a.ogg", rate, channels, subtype="pcm24")
    save_audio(tmp_path / "b.ogg", torch.zeros(2, 9), 200_000)


def test_forms_are_known_before_there_are_sounds(tmp_path: Path) -> None:
    for name, rate, channels in (("a.mp3", 96000, 2), ("a.mp3", 44100, 3), ("a.FLAC", 700_000, 2)):
        message = (
            rf"{name}: .{name[2:].lower()} cannot hold {channels} channels at {rate} Hz \(.*\)"
        )
        with pytest.raises(ValueError, match=f"{message}; use .wav"):
            check_form(tmp_path / name, rate, channels, subtype="pcm24")
        with pytest.raises(ValueError, match=message):
            save_audio(tmp_path / name, torch.zeros(channels, 9), rate)
    check_form(tmp_path / "a.wav", 700_000, 40, subtype="float")
    assert list(tmp_path.iterdir()) == []


def test_names_that_no_file_can_have(tmp_path: Path) -> None:
    for path in (tmp_path / "a\0.wav", tmp_path / "a\0b"):
        with pytest.raises(ValueError, match=r"holds a NUL character, as no path does"):
            noise().save(f"{path}/" if path.suffix != ".wav" else path)
    long = "x" * 247 + ".wav"
    with pytest.raises(AudioSaveError, match=r"its name has 251 bytes, and file systems take 250"):
        noise().save(tmp_path / long)
    assert list(tmp_path.iterdir()) == []
    audio = Audio(noise().samples, RATE, tags=({"stable_audio_open": "1", "p": 2000 * "x"},))
    assert audio.save(tmp_path / long[1:]) == [tmp_path / long[1:]]
    assert len(list(tmp_path.iterdir())) == 2


def test_the_name_of_a_sound_is_checked_before_it_is_looked_up(tmp_path: Path) -> None:
    with pytest.raises(AudioSaveError, match=r"its name has 304 bytes, and file systems take 250"):
        Audio(torch.zeros(1, 2, 10), 44100).save(tmp_path / ("x" * 300 + ".wav"))


def test_a_quiet_item_warns_of_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    noise(peak=1.0).save(tmp_path / "a.wav")
    assert caplog.text == ""


def test_a_folder_takes_a_file_per_item(tmp_path: Path) -> None:
    audio = noise(batch=2)
    paths = audio.save(tmp_path)
    assert [path.name for path in paths] == ["0_0.wav", "1_1.wav"]
    torch.testing.assert_close(read(paths[1]), audio.samples[1], rtol=0, atol=1.5 * 2**-23)


def test_a_folder_is_made_where_its_name_ends_with_a_slash(tmp_path: Path) -> None:
    paths = noise(batch=2).save(f"{tmp_path}/new/")
    assert paths == [tmp_path / "new" / "0_0.wav", tmp_path / "new" / "1_1.wav"]
    with pytest.raises(AudioSaveError, match=r"the folder .*absent does not exist; create it"):
        noise().save(f"{tmp_path}/absent/new/")
    (tmp_path / "taken.wav").write_bytes(b"old")
    with pytest.raises(AudioSaveError, match=r"taken.wav: is a file; give a folder"):
        noise().save(f"{tmp_path}/taken.wav/")


def test_nothing_in_a_folder_is_replaced(tmp_path: Path) -> None:
    for expected in ("0_0.wav", "0_0_2.wav", "0_0_3.wav"):
        assert noise().save(tmp_path) == [tmp_path / expected]


def test_items_are_saved_as_long_as_they_are(tmp_path: Path) -> None:
    audio = Audio(noise(batch=2).samples, RATE, lengths=(100, 13230))
    paths = audio.save(tmp_path, subtype="float")
    assert [soundfile.info(path).frames for path in paths] == [100, 13230]
    assert torch.equal(read(paths[0]), audio.samples[0, :, :100])


def test_a_cut_sound_is_faded_when_it_is_saved(tmp_path: Path) -> None:
    audio = Audio(noise().samples, RATE, fade=0.005)
    (path,) = audio.save(tmp_path / "a.wav", subtype="float")
    found, length = read(path), round(0.005 * RATE)
    assert torch.equal(found[:, :-length], audio.samples[0, :, :-length])
    assert (found[:, -1].abs() < 1e-6).all()
    half = found[:, -length // 2] / audio.samples[0, :, -length // 2]
    torch.testing.assert_close(half, torch.full((2,), 0.5), rtol=0, atol=0.02)
    (whole,) = audio.finish(fade=0).save(tmp_path / "b.wav", subtype="float")
    assert torch.equal(read(whole), audio.samples[0])


@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_lossy_loops_warn_of_their_padding(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    loop = Audio(noise().samples, RATE, loop=True)
    loop.save(tmp_path / "a.wav")
    assert not caplog.records
    loop.save(tmp_path / f"a{suffix}")
    assert f"{suffix} puts silence around a sound" in caplog.text


def test_one_item_of_a_batch(tmp_path: Path) -> None:
    audio = noise(batch=2)
    audio.save(tmp_path / "a.wav", item=1, subtype="float")
    assert torch.equal(read(tmp_path / "a.wav"), audio.samples[1])
    with pytest.raises(ValueError, match="there is no item 2 in a batch of 2"):
        audio.save(tmp_path / "a.wav", item=2)
    with pytest.raises(ValueError, match=r"2 items do not fit into one file; pass item="):
        audio.save(tmp_path / "b.wav")


def test_usage_errors(tmp_path: Path) -> None:
    audio = noise()
    with pytest.raises(ValueError, match=r"a.m4a: unknown audio suffix '.m4a'; use one of .wav"):
        audio.save(tmp_path / "a.m4a")
    with pytest.raises(ValueError, match=r".flac files cannot hold float samples; use .wav"):
        audio.save(tmp_path / "a.flac", subtype="float")
    # With runtime type checks the annotation speaks first; it names the allowed values too.
    with pytest.raises(Exception, match="pcm24"):
        audio.save(tmp_path / "a.wav", subtype="pcm8")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a.mp3: .mp3 files hold no integers; use .wav or .flac"):
        audio.save(tmp_path / "a.mp3", subtype="pcm16")
    with pytest.raises(ValueError, match="there are no samples to save"):
        Audio(torch.zeros(1, 2, 0), RATE).save(tmp_path / "a.wav")
    with pytest.raises(ValueError, match=r".mp3 cannot hold 2 channels at 1234 Hz .*; use .wav"):
        Audio(torch.zeros(1, 2, 10), 1234).save(tmp_path / "a.mp3")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_is_not_saved(tmp_path: Path, value: float) -> None:
    samples = torch.zeros(1, 2, 10)
    samples[0, 1, 3] = value
    with pytest.raises(ValueError, match=r"1 of 20 samples are NaN or infinite; nothing was saved"):
        Audio(samples, RATE).save(tmp_path / "a.wav")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_cannot_take_the_file(tmp_path: Path) -> None:
    with pytest.raises(AudioSaveError, match=r"the folder .*absent does not exist; create it"):
        noise().save(tmp_path / "absent" / "a.wav")
    (tmp_path / "taken.wav").mkdir()
    with pytest.raises(AudioSaveError, match=r"taken.wav: is a folder; give the name of a file"):
        noise().save(tmp_path / "taken.wav")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="waits for a system with /proc")
def test_a_folder_that_nobody_may_write() -> None:
    with pytest.raises(AudioSaveError, match=r"^/proc/a.wav: could not be saved: [^\n]*$"):
        noise().save("/proc/a.wav")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    with (
        full_disk(2048),
        pytest.raises(AudioSaveError, match="could not be saved: File too large; free some space"),
    ):
        noise().save(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (OSError(errno.ENOSPC, "raw"), AudioSaveError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
def test_failures_at_the_last_moment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    expected: type[BaseException],
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"old")

    def fail(_: int) -> None:
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(expected, match=r"No space left on device|^$"):
        noise().save(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
