import logging
import math
import os
import pickle
from pathlib import Path
from typing import NamedTuple

import pytest
import soundfile
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.autoencoder.bottleneck import Posterior
from stable_audio_open.data.cache import CachedLatents, encode_recordings, read_header
from stable_audio_open.data.encoding import encoder_fingerprint
from stable_audio_open.data.faults import Fault
from stable_audio_open.data.latents import LatentDataset, spread_of
from stable_audio_open.data.manifest import Recording

pytestmark = pytest.mark.numerical

RATE = 1000
HOP = 8


class Averages(nn.Module):
    """Means are averages of `HOP` samples with a gain, deviations a tenth; counts its calls."""

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.downsampling = HOP
        self.sample_rate = RATE
        self.scale = 1.0
        self.encoder = nn.Linear(1, 1, bias=False)
        nn.init.constant_(self.encoder.weight, gain)
        self.decoder = nn.Linear(1, 1)
        self.encoded: list[int] = []

    def posterior(self, audio: Tensor, *, chunked: bool) -> Posterior:
        assert chunked
        self.encoded.append(audio.shape[-1])
        mean = functional.avg_pool1d(audio, HOP) * self.encoder.weight[0, 0]
        return Posterior(mean, mean / 10)


def record(folder: Path, name: str, seconds: float) -> Recording:
    """A ramp, so that a latent tells where it comes from."""
    length = round(seconds * RATE)
    samples = torch.arange(1, length + 1) / (length + 1)
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, samples.expand(2, -1).T.numpy(), RATE, subtype="FLOAT")
    return Recording(file=name, caption=f"sound {name}", tags=(name, "sound"))


def encode(folder: Path, recordings: list[Recording], autoencoder: Averages) -> list[CachedLatents]:
    return encode_recordings(
        autoencoder=autoencoder,
        recordings=recordings,
        folder=folder,
        cache=folder / "cache",
        channels=2,
        window_samples=1000,
    )


def dataset(
    recordings: list[Recording], latents: list[CachedLatents], window: int = 125, seed: int = 0
) -> LatentDataset:
    return LatentDataset(
        recordings=recordings,
        latents=latents,
        window=window,
        downsampling=HOP,
        sample_rate=RATE,
        seed=seed,
    )


@pytest.mark.parametrize(("seconds", "frames"), [(0.25, 125), (1.0, 125), (1.001, 126), (3.7, 463)])
def test_a_file_holds_the_whole_recording_and_silence(
    tmp_path: Path, seconds: float, frames: int
) -> None:
    ((path, *_),) = encode(tmp_path, [record(tmp_path, "audio/a.wav", seconds)], Averages())
    with safe_open(path, framework="pt") as file:
        assert list(file.keys()) == ["posterior"]
        posterior = file.get_tensor("posterior")
        metadata = file.metadata()
    assert posterior.shape == (2, 2, frames)
    latents, std = posterior
    torch.testing.assert_close(std, latents / 10)
    assert latents.dtype == torch.float32
    assert float(metadata["seconds"]) == seconds
    assert (metadata["file"], metadata["format"]) == ("audio/a.wav", "2")
    first_silent = math.ceil(seconds * RATE / HOP)
    assert torch.equal(latents[:, first_silent:], torch.zeros(2, frames - first_silent))
    assert (latents[:, :first_silent] > 0).all()


def test_nothing_is_encoded_twice(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 0.5), record(tmp_path, "b.wav", 1.5)]
    autoencoder = Averages()
    latents = encode(tmp_path, recordings, autoencoder)
    assert autoencoder.encoded == [1000, 1504]
    os.utime(tmp_path / "a.wav", (0, 0))
    assert encode(tmp_path, recordings, autoencoder) == latents
    assert len(autoencoder.encoded) == 2
    record(tmp_path, "a.wav", 0.6)
    encode(tmp_path, recordings, autoencoder)
    assert autoencoder.encoded == [1000, 1504, 1000]


def test_other_weights_have_their_own_files(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 0.5)]
    one, two = Averages(1.0), Averages(2.0)
    first, second = encode(tmp_path, recordings, one), encode(tmp_path, recordings, two)
    assert first != second
    encode(tmp_path, recordings, one)
    assert (len(one.encoded), len(two.encoded)) == (1, 1)
    a, b = (dataset(recordings, latents)[0]["latents"] for latents in (first, second))
    torch.testing.assert_close(b, 2 * a)


def test_the_fingerprint_is_that_of_the_encoder() -> None:
    one, other = Averages(), Averages()
    nn.init.zeros_(other.decoder.weight)
    assert encoder_fingerprint(one) == encoder_fingerprint(other)
    other.scale = 2.0
    assert encoder_fingerprint(one) != encoder_fingerprint(other)
    assert encoder_fingerprint(one) != encoder_fingerprint(Averages(1.5))
    assert encoder_fingerprint(one) != encoder_fingerprint(Averages().to(torch.bfloat16))


def test_a_damaged_file_is_encoded_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    recordings = [record(tmp_path, "a.wav", 0.5)]
    autoencoder = Averages()
    ((path, *_),) = encode(tmp_path, recordings, autoencoder)
    path.write_bytes(path.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        encode(tmp_path, recordings, autoencoder)
    assert "not a file of cached latents" in caplog.text
    assert len(autoencoder.encoded) == 2
    assert read_header(path).frames == 125


def test_files_of_means_alone_are_encoded_again_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recordings = [record(tmp_path, f"{number}.wav", 0.5) for number in range(3)]
    autoencoder = Averages()
    made = encode(tmp_path, recordings, autoencoder)
    for one in made[:2]:  # as the first version wrote them
        with safe_open(one.path, framework="pt") as file:
            mean, _ = file.get_tensor("posterior")
            metadata = file.metadata()
        del metadata["format"]
        one.path.unlink()
        older = one.path.with_name(f"{metadata['file']}.safetensors")
        save_file({"latents": mean.contiguous()}, older, metadata)
    with pytest.raises(ValueError, match=r"cached latents \(its format is 1, not 2\); delete it"):
        read_header(older)
    with caplog.at_level(logging.WARNING):
        assert encode(tmp_path, recordings, autoencoder) == made
    assert len(autoencoder.encoded) == 3 + 2
    [message] = caplog.messages
    assert "2 recordings had been encoded by an earlier version, which kept no standard" in message
    caplog.clear()
    encode(tmp_path, recordings, autoencoder)
    assert len(autoencoder.encoded) == 3 + 2
    assert not caplog.messages


@pytest.mark.parametrize("place", [-1, -300, -2000])
def test_damage_inside_of_a_whole_file_is_encoded_again(
    place: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A flipped bit changes a number, and nothing that safetensors checks."""
    recordings = [record(tmp_path, "a.wav", 0.5)]
    autoencoder = Averages()
    [made] = encode(tmp_path, recordings, autoencoder)
    before = made.read(0, 125)
    flipped = bytearray(made.path.read_bytes())
    flipped[place] ^= 1
    made.path.write_bytes(flipped)
    assert encode(tmp_path, recordings, autoencoder) == [made]
    assert caplog.messages == [f"{made.path}: is damaged; its recording is encoded again"]
    assert torch.equal(made.read(0, 125), before)


def test_runs_that_share_a_cache_take_nothing_from_each_other(tmp_path: Path) -> None:
    """One with another window, and one of another folder with a recording of the same name."""
    recordings = [record(tmp_path, "a.wav", 1.4)]
    other = tmp_path / "other"
    other.mkdir()
    record(other, "a.wav", 2.0)
    settings = {"autoencoder": Averages(), "recordings": recordings, "cache": tmp_path / "cache"}
    [first] = encode_recordings(**settings, folder=tmp_path, channels=2, window_samples=1000)
    posterior = first.read(0, first.frames)
    for folder, window in ((tmp_path, 2000), (other, 1000)):
        [second] = encode_recordings(**settings, folder=folder, channels=2, window_samples=window)
        assert second.frames == 250
        assert first.frames == 175
        assert torch.equal(first.read(0, first.frames), posterior)
        assert not torch.equal(second.read(0, 175), posterior) or window == 2000
    encoded = settings["autoencoder"].encoded
    assert len(encoded) == 3
    encode_recordings(**settings, folder=tmp_path, channels=2, window_samples=1000)
    assert len(encoded) == 3


def test_a_file_that_is_another_by_now_is_a_fault(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 0.5), record(tmp_path, "b.wav", 0.6)]
    latents = encode(tmp_path, recordings, Averages())
    data = dataset(recordings, latents)
    latents[0].path.write_bytes(latents[1].path.read_bytes())
    assert data[0] == Fault(
        "a.wav",
        f"{latents[0].path}: latents cannot be read (they are of another recording or window than "
        "at the start)",
    )
    with pytest.raises(ValueError, match=r"^25 of 50 are there$"):
        latents[1].read(100, 50)


def test_long_names_have_latents_too(tmp_path: Path) -> None:
    recordings = [record(tmp_path, f"{'é' * 120}{number}.wav", 0.5 + number) for number in range(2)]
    one, two = encode(tmp_path, recordings, Averages())
    assert one.path != two.path
    assert one.path.is_file()


def test_progress_and_half_precision(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 0.5), record(tmp_path, "b.wav", 0.5)]
    calls: list[tuple[int, int]] = []
    ((path, *_), _) = encode_recordings(
        autoencoder=Averages().to(torch.bfloat16),
        recordings=recordings,
        folder=tmp_path,
        cache=tmp_path / "cache",
        channels=2,
        window_samples=1000,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 2), (2, 2)]
    with safe_open(path, framework="pt") as file:
        assert file.get_tensor("posterior").dtype == torch.float32


def test_errors_of_encoding(tmp_path: Path) -> None:
    recording = record(tmp_path, "a.wav", 0.5)
    with pytest.raises(ValueError, match=r"a.wav: its latents are NaN or infinite; use dtype"):
        encode(tmp_path, [recording], Averages(math.nan))
    (tmp_path / "a.wav").unlink()
    with pytest.raises(AudioFileError, match=r"a.wav: no such file"):
        encode(tmp_path, [recording], Averages())


def test_a_window_and_its_times(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 3.7)]
    latents = encode(tmp_path, recordings, Averages())
    with safe_open(latents[0].path, framework="pt") as file:
        whole, std = file.get_tensor("posterior")
    data = dataset(recordings, latents)
    assert len(data) == 3
    starts = set()
    for epoch in range(10):
        data.set_epoch(epoch)
        for index in range(len(data)):
            item = data[index]
            (offset,) = (whole[0] == item["latents"][0, 0]).nonzero()[0].tolist()
            assert torch.equal(item["latents"], whole[:, offset : offset + 125])
            assert torch.equal(item["std"], std[:, offset : offset + 125])
            assert item["seconds_start"] == math.floor(offset * HOP / RATE)
            assert item["seconds_total"] == 4.0
            assert item["file"] == "a.wav"
            starts.add(item["seconds_start"])
    assert starts == {0.0, 1.0, 2.0}


def test_windows_may_start_at_whole_seconds(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 3.7)]
    latents = encode(tmp_path, recordings, Averages())
    data = LatentDataset(
        recordings=recordings,
        latents=latents,
        window=125,
        downsampling=HOP,
        sample_rate=RATE,
        whole_seconds=True,
    )
    starts = set()
    for epoch in range(40):
        data.set_epoch(epoch)
        window = data[0]
        # The ramp tells where it was cut: within the latent at the second.
        where = float(window["latents"][0, 0]) * 3.7
        assert 0 <= where - window["seconds_start"] < 2 * HOP / RATE
        starts.add(window["seconds_start"])
    last = int(3.7 - 125 * HOP / RATE)
    assert starts == {float(second) for second in range(last + 1)}


def test_share_of_captions(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 0.5)]
    data = dataset(recordings, encode(tmp_path, recordings, Averages()))
    data.caption_share = 1.0
    prompts = set()
    for epoch in range(30):
        data.set_epoch(epoch)
        prompts.add(data[0]["prompt"].lower())
    assert prompts == {"sound a.wav"}


def test_a_short_recording_is_one_whole_window(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 0.25)]
    data = dataset(recordings, encode(tmp_path, recordings, Averages()))
    assert len(data) == 1
    assert data[0]["latents"].shape == (2, 125)
    assert (data[0]["seconds_start"], data[0]["seconds_total"]) == (0.0, 1.0)


def test_seed_epoch_and_index_decide(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 30.0)]
    latents = encode(tmp_path, recordings, Averages())
    first, again, other = (dataset(recordings, latents, seed=seed) for seed in (1, 1, 2))
    again = pickle.loads(pickle.dumps(again))
    assert torch.equal(first[2]["latents"], again[2]["latents"])
    assert first[2]["prompt"] == again[2]["prompt"]
    assert not torch.equal(first[2]["latents"], other[2]["latents"])
    again.set_epoch(5)
    assert not torch.equal(first[2]["latents"], again[2]["latents"])


def test_errors_of_the_dataset(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 0.5)]
    latents = encode(tmp_path, recordings, Averages())
    with pytest.raises(ValueError, match="got 1 recordings and the latents of 0"):
        dataset(recordings, [])
    with pytest.raises(
        ValueError, match=r"holds 125 latents of a.wav, fewer than the window of 126"
    ):
        dataset(recordings, latents, window=126)
    with pytest.raises(ValueError, match="window and crops_per_recording must be at least 1"):
        dataset(recordings, latents, window=0)
    path = latents[0].path
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"not a file of cached latents .*; delete it and encode"):
        read_header(path)


def test_trailing_silence_teaches_every_length_that_fits_the_window(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "short.wav", 0.5), record(tmp_path, "long.wav", 6.2)]
    latents = encode_recordings(
        autoencoder=Averages(),
        recordings=recordings,
        folder=tmp_path,
        cache=tmp_path / "cache",
        channels=2,
        window_samples=5 * RATE,
    )
    data = LatentDataset(
        recordings=recordings,
        latents=latents,
        window=5 * RATE // HOP,
        downsampling=HOP,
        sample_rate=RATE,
        crops_per_recording=1,
        trailing_silence=3.0,
    )
    short, long = set(), set()
    for epoch in range(50):
        data.set_epoch(epoch)
        short.add(data[0]["seconds_total"])
        long.add(data[1]["seconds_total"])
    assert short == {1.0, 2.0, 3.0, 4.0}
    assert long == {7.0}


def test_negative_trailing_silence_is_refused(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 0.5)]
    latents = encode(tmp_path, recordings, Averages())
    with pytest.raises(ValueError, match=r"^trailing_silence must be at least 0, got -1\.0$"):
        LatentDataset(
            recordings=recordings,
            latents=latents,
            window=125,
            downsampling=HOP,
            sample_rate=RATE,
            trailing_silence=-1.0,
        )


def test_the_standard_deviation_is_that_of_all_latents_together(tmp_path: Path) -> None:
    recordings = [record(tmp_path, "a.wav", 0.5), record(tmp_path, "b.wav", 1.5)]
    latents = encode(tmp_path, recordings, Averages(gain=3.0))
    everything = []
    for path, *_ in latents:
        with safe_open(path, framework="pt") as file:
            everything.append(file.get_tensor("posterior").flatten(1))
    means, stds = torch.cat(everything, dim=1).double()
    spread = spread_of(latents)
    assert spread.means == pytest.approx(float(means.std(correction=0)), rel=1e-6)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(10_000, len(means), generator=generator, dtype=torch.float64)
    drawn = (means + stds * noise).std(correction=0)
    assert spread.draws == pytest.approx(float(drawn), rel=1e-4)
    assert spread.draws > 1.001 * spread.means


class Frames(NamedTuple):
    """Latents that say which they are."""

    path: Path
    frames: int
    seconds: float

    def read(self, start: int, length: int) -> Tensor:
        return torch.arange(start, start + length, dtype=torch.float32).expand(2, 1, -1)


def test_whole_seconds_are_rounded_up_to_a_latent_of_that_second() -> None:
    """At 21.5 latents a second no latent begins with a second."""
    rate, hop = 44100, 2048
    frames = math.ceil(47.4 * rate / hop)
    data = LatentDataset(
        recordings=[Recording(file="a.wav", caption="a")],
        latents=[Frames(Path("a"), frames, 47.4)],
        window=100,
        downsampling=hop,
        sample_rate=rate,
        whole_seconds=True,
    )
    starts = set()
    for epoch in range(400):
        data.set_epoch(epoch)
        item = data[0]
        begins = float(item["latents"][0, 0]) * hop / rate
        assert 0 <= begins - item["seconds_start"] < hop / rate
        starts.add(item["seconds_start"])
    last = int((frames - 100) * hop / rate)
    assert starts == {float(second) for second in range(last + 1)}
