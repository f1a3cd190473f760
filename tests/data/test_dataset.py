import pickle
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
from torch.utils.data import DataLoader

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.audio.level.loudness import integrated_loudness
from stable_audio_open.data.dataset import CropDataset
from stable_audio_open.data.faults import Fault
from stable_audio_open.data.manifest import Recording

RATE = 8000


def record(folder: Path, name: str, samples: torch.Tensor, rate: int = RATE) -> Recording:
    soundfile.write(folder / name, samples.T.numpy(), rate, subtype="FLOAT")
    return Recording(file=name, caption=name)


def ramp(length: int, channels: int = 2) -> torch.Tensor:
    """Samples that tell where they come from: 1/length, 2/length ... 1."""
    return (torch.arange(1, length + 1) / length).expand(channels, -1).contiguous()


def dataset(
    folder: Path,
    recordings: list[Recording],
    *,
    sample_rate: int = RATE,
    channels: int = 2,
    crop_samples: int = 100,
    crops_per_recording: int = 3,
    seed: int = 0,
    **settings: Any,
) -> CropDataset:
    return CropDataset(
        recordings=recordings,
        folder=folder,
        sample_rate=sample_rate,
        channels=channels,
        crop_samples=crop_samples,
        crops_per_recording=crops_per_recording,
        seed=seed,
        **settings,
    )


@pytest.mark.parametrize(("length", "items"), [(1, 1), (100, 1), (101, 2), (250, 3), (5000, 3)])
def test_items_per_recording(tmp_path: Path, length: int, items: int) -> None:
    assert len(dataset(tmp_path, [record(tmp_path, "a.wav", ramp(length))])) == items


def test_a_crop_is_a_piece_of_its_recording(tmp_path: Path) -> None:
    whole = ramp(5000)
    data = dataset(tmp_path, [record(tmp_path, "a.wav", whole)], crops_per_recording=10)
    starts = set()
    for index in range(len(data)):
        crop = data[index]
        assert crop["file"] == "a.wav"
        start = round(float(crop["audio"][0, 0]) * 5000) - 1
        assert torch.equal(crop["audio"], whole[:, start : start + 100])
        starts.add(start)
    assert len(starts) > 5


def test_both_ends_are_reached(tmp_path: Path) -> None:
    data = dataset(tmp_path, [record(tmp_path, "a.wav", ramp(103))])
    starts = set()
    for epoch in range(20):
        data.set_epoch(epoch)
        starts |= {round(float(data[i]["audio"][0, 0]) * 103) - 1 for i in range(len(data))}
    assert starts == {0, 1, 2, 3}


def test_a_short_recording_is_followed_by_silence(tmp_path: Path) -> None:
    data = dataset(tmp_path, [record(tmp_path, "a.wav", ramp(30))])
    assert torch.equal(data[0]["audio"][:, :30], ramp(30))
    assert torch.equal(data[0]["audio"][:, 30:], torch.zeros(2, 70))


def test_seed_epoch_and_index_decide(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", ramp(5000))]
    first, again, other = (dataset(tmp_path, recordings, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first[1]["audio"], again[1]["audio"])
    assert not torch.equal(first[0]["audio"], first[1]["audio"])
    assert not torch.equal(first[1]["audio"], other[1]["audio"])
    again.set_epoch(1)
    assert not torch.equal(first[1]["audio"], again[1]["audio"])
    again.set_epoch(0)
    assert torch.equal(first[1]["audio"], again[1]["audio"])


def test_rate_and_channels_are_converted(tmp_path: Path) -> None:
    mono = record(tmp_path, "a.wav", ramp(800, channels=1), rate=16000)
    data = dataset(tmp_path, [mono], crop_samples=400)
    audio = data[0]["audio"]
    assert audio.shape == (2, 400)
    assert torch.equal(audio[0], audio[1])


def test_silent_crops_are_drawn_again(tmp_path: Path) -> None:
    samples = torch.zeros(2, 1000)
    samples[:, :500] = 0.5
    data = dataset(tmp_path, [record(tmp_path, "a.wav", samples)], crops_per_recording=1)
    silent = 0
    for epoch in range(200):
        data.set_epoch(epoch)
        silent += int(data[0]["audio"].abs().max() == 0)
    # 401 of the 901 places are silent: the first draw is in 89 of 200 epochs, all four in 8.
    assert silent < 25
    quiet = dataset(tmp_path, [record(tmp_path, "b.wav", torch.zeros(2, 1000))])
    assert quiet[0]["audio"].abs().max() == 0


def test_a_share_of_the_crops_is_turned_upside_down(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", ramp(5000))]
    plain = dataset(tmp_path, recordings)
    half, all_ = (dataset(tmp_path, recordings, polarity_flip=share) for share in (0.5, 1.0))
    flipped = 0
    for epoch in range(100):
        for data in (plain, half, all_):
            data.set_epoch(epoch)
        for index in range(len(plain)):
            audio = plain[index]["audio"]
            assert audio.min() > 0
            assert torch.equal(all_[index]["audio"], -audio)
            found = half[index]["audio"]
            assert torch.equal(found.abs(), audio)
            assert (found < 0).all() or (found > 0).all()  # both channels, from end to end
            flipped += int((found < 0).all())
    assert 110 < flipped < 190  # of 300; four standard deviations


def noise(level: float, *, seconds: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return level * torch.randn(2, seconds * RATE, generator=generator).clamp(-3, 3)


def test_crops_are_brought_to_a_loudness(tmp_path: Path) -> None:
    for number, level in enumerate((0.003, 0.2)):
        recordings = [record(tmp_path, f"{number}.wav", noise(level))]
        data = dataset(tmp_path, recordings, crop_samples=RATE, loudness=-23.0)
        plain = dataset(tmp_path, recordings, crop_samples=RATE)
        audio = data[0]["audio"]
        assert integrated_loudness(audio, RATE) == pytest.approx(-23, abs=0.01)
        gain = audio[0, 0] / plain[0]["audio"][0, 0]
        torch.testing.assert_close(audio, gain * plain[0]["audio"])


def test_no_crop_is_brought_above_full_scale_and_silence_stays(tmp_path: Path) -> None:
    samples = noise(0.01)
    samples[:, RATE - 10] = 0.5
    data = dataset(
        tmp_path, [record(tmp_path, "a.wav", samples)], crop_samples=2 * RATE, loudness=-10.0
    )
    torch.testing.assert_close(data[0]["audio"], 2 * samples)
    hiss = 1e-5 * noise(1.0)
    quiet = dataset(
        tmp_path, [record(tmp_path, "b.wav", hiss)], crop_samples=2 * RATE, loudness=-10.0
    )
    assert torch.equal(quiet[0]["audio"], hiss)


def test_it_travels_to_workers(tmp_path: Path) -> None:
    data = dataset(tmp_path, [record(tmp_path, "a.wav", ramp(5000))])
    copy = pickle.loads(pickle.dumps(data))
    assert torch.equal(copy[2]["audio"], data[2]["audio"])
    (batch,) = DataLoader(data, batch_size=3, num_workers=1)
    assert torch.equal(batch["audio"][2], data[2]["audio"])
    assert batch["file"] == ["a.wav"] * 3


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are no recordings to crop"):
        dataset(tmp_path, [])
    recording = record(tmp_path, "a.wav", ramp(10))
    with pytest.raises(ValueError, match="crop_samples must be at least 1, got 0"):
        dataset(tmp_path, [recording], crop_samples=0)
    (tmp_path / "b.wav").write_bytes(b"")
    with pytest.raises(AudioFileError, match=r"b.wav: the file is empty"):
        dataset(tmp_path, [recording, Recording(file="b.wav", caption="b")])


def test_a_file_that_has_changed_is_a_fault(tmp_path: Path) -> None:
    """Its length was another one when the run began."""
    data = dataset(tmp_path, [record(tmp_path, "a.wav", ramp(5000))])
    record(tmp_path, "a.wav", ramp(10))
    found = [data[index] for index in range(len(data))]
    assert all(isinstance(item, Fault) and "start must lie within" in item.reason for item in found)


@pytest.mark.parametrize("rate", [RATE, 8000])
def test_lengths_that_the_manifest_tells_are_those_of_the_headers(
    tmp_path: Path, rate: int
) -> None:
    """The files are then opened when a crop is read, and not before."""
    plain = record(tmp_path, "a.wav", ramp(5001))
    told = Recording(
        file="a.wav", caption="a", other={"seconds": 5001 / RATE, "sample_rate": RATE, "bpm": 120}
    )
    expected, found = (dataset(tmp_path, [one], sample_rate=rate) for one in (plain, told))
    assert (found.lengths, found.owners) == (expected.lengths, expected.owners)
    for index in range(len(expected)):
        assert torch.equal(found[index]["audio"], expected[index]["audio"])
    (tmp_path / "a.wav").write_bytes(b"no sound")
    assert len(dataset(tmp_path, [told])) == len(expected)
    with pytest.raises(AudioFileError, match=r"a.wav"):
        dataset(tmp_path, [plain])


@pytest.mark.parametrize(
    "other",
    [
        {"seconds": 1.0},
        {"sample_rate": 44100},
        {"seconds": "1", "sample_rate": 44100},
        {"seconds": 0.0, "sample_rate": 44100},
        {"seconds": 1.0, "sample_rate": 44100.5},
        {"seconds": 1.0, "sample_rate": 0},
        {"seconds": float("nan"), "sample_rate": 44100},
        {"seconds": -1.0, "sample_rate": 44100},
    ],
    ids=str,
)
def test_what_tells_no_length_is_looked_up(tmp_path: Path, other: dict[str, object]) -> None:
    record(tmp_path, "a.wav", ramp(5001))
    found = dataset(tmp_path, [Recording(file="a.wav", caption="a", other=other)])
    assert found.lengths == [5001]
