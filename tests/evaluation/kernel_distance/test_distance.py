"""The kernel distance of folders, by a user's own function of recordings."""

from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.evaluation.cache import ResultCache
from stable_audio_open.evaluation.kernel_distance.distance import SCALE, evaluate_kad
from stable_audio_open.evaluation.kernel_distance.mmd import compare, squared_mmd
from stable_audio_open.evaluation.kernel_distance.sample import make_sample
from stable_audio_open.evaluation.result import UnmeasurableError
from tests.function_embedder import FunctionEmbedder
from tests.gaussian_sets import normal
from tests.live_bytes import LiveBytes

pytestmark = pytest.mark.numerical

RATE = 8000


def windows(mono: Tensor) -> Tensor:
    """Two numbers of each tenth of a second."""
    tenths = mono.unfold(0, RATE // 10, RATE // 10)
    return torch.stack([tenths.std(dim=1), tenths.diff(dim=1).std(dim=1)], dim=1)


EMBEDDER = FunctionEmbedder(name="levels", sample_rate=RATE, function=windows)


def colours(folder: Path, seed: int, *, count: int = 12, darker: float = 0.0) -> Path:
    """Noise of many colours, 2 to 4 tenths of a second each; two of both channels."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(seed)
    for index in range(count):
        samples = torch.randn(2, (2 + index % 3) * RATE // 10, generator=generator)
        spectrum = torch.fft.rfft(samples)
        frequency = torch.linspace(0, 1, spectrum.shape[1])
        slope = darker + 3 * float(torch.rand((), generator=generator))
        shaped = torch.fft.irfft(spectrum * torch.exp(-slope * frequency), n=samples.shape[1])
        write(folder / f"{index:02}.wav", shaped)
    return folder


def write(path: Path, samples: Tensor, rate: int = RATE) -> None:
    level = 0.5 * samples / samples.abs().max().clamp(min=1e-9)
    soundfile.write(path, level.T.numpy(), rate, subtype="FLOAT")


def test_windows_of_a_recording_are_one_unit(tmp_path: Path) -> None:
    """By hand, of the vectors of all windows; ids are the same in both."""
    made, reference = colours(tmp_path / "made", 0, darker=2), colours(tmp_path / "reference", 1)
    heard: list[Tensor] = []

    def hear(mono: Tensor) -> Tensor:
        heard.append(windows(mono))
        return heard[-1]

    embedder = FunctionEmbedder(name="levels", sample_rate=RATE, function=hear)
    found = evaluate_kad(made, reference, embedder, channels="mono", seed=4)
    assert (found.files, found.windows, found.reference_files) == (12, 36, 12)
    assert (found.reference_windows, found.bandwidth_windows) == (36, 36)
    theirs, ours = torch.cat(heard[:12]), torch.cat(heard[12:])
    units = torch.cat([torch.full((len(one),), place) for place, one in enumerate(heard[:12])])
    distances = torch.pdist(theirs.double()).sort().values
    middle = len(distances) // 2
    assert found.bandwidth == pytest.approx(float(distances[middle - 1 : middle + 1].mean()))
    wanted = compare(make_sample(ours, units), make_sample(theirs, units), found.bandwidth, seed=4)
    distance = found.kernel_distance
    scaled = [SCALE * one for one in wanted.distance]
    assert [distance.value, distance.low, distance.high] == pytest.approx(scaled)
    assert found.of_all_pairs == pytest.approx(SCALE * squared_mmd(ours, theirs))
    assert found.of_all_pairs != pytest.approx(distance.value)
    assert distance.low > 0


def test_other_rates_and_channels_are_the_same_sounds(tmp_path: Path) -> None:
    """Mono at 48 kHz of what is stereo of equal sides at 8 kHz."""
    first, other = tmp_path / "first", tmp_path / "other"
    for folder in (first, other):
        folder.mkdir()
    time = torch.arange(48_000) / 48_000
    for index in range(12):
        sound = torch.sin(2 * torch.pi * 150 * 2 ** (index / 4) * time)[None]
        write(other / f"tone{index}.wav", sound, 48_000)
        write(first / f"tone{index}.wav", sound[:, ::6].expand(2, -1))
    reference = colours(tmp_path / "reference", 1)
    found = evaluate_kad(first, reference, EMBEDDER, against=other, allow_missing=True)
    assert found.against is not None
    assert found.against.distance.value == pytest.approx(found.kernel_distance.value, rel=0.05)
    assert found.against.paired == 12
    assert len(found.missing) == len(found.extra) == 12
    assert (found.against.missing, found.against.extra) == (found.missing, found.extra)


def test_groups_are_the_units(tmp_path: Path) -> None:
    """Three sounds of four captions: pairs of a caption say nothing of the set."""
    made, reference = colours(tmp_path / "made", 0), colours(tmp_path / "reference", 1, count=4)
    groups = {f"{index:02}": f"{index // 3:02}" for index in range(12)}
    found = evaluate_kad(made, reference, EMBEDDER, groups=groups)
    assert (found.groups, found.files, found.missing, found.extra) == (4, 12, (), ())
    assert found.caution is not None
    assert found.caution.startswith("4 recordings or groups in a set are few")
    alone = evaluate_kad(made, reference, EMBEDDER, allow_missing=True)
    assert alone.groups is None
    assert alone.kernel_distance.value != pytest.approx(found.kernel_distance.value)
    assert alone.of_all_pairs == pytest.approx(found.of_all_pairs)
    del groups["11"]
    with pytest.raises(ValueError, match=r"made: '11' is in no group, as 1 of 12 recordings; name"):
        evaluate_kad(made, reference, EMBEDDER, groups=groups)


def test_one_caption_is_no_set(tmp_path: Path) -> None:
    made, reference = colours(tmp_path / "made", 0), colours(tmp_path / "reference", 1)
    groups = {f"{index:02}": "00" for index in range(12)}
    message = r"/made: a kernel distance needs at least 2 recordings in a set, there is 1; add rec"
    with pytest.raises(UnmeasurableError, match=message):
        evaluate_kad(made, reference, EMBEDDER, groups=groups, allow_missing=True)


def test_recordings_that_sets_share_are_heard_once(tmp_path: Path) -> None:
    made, reference = colours(tmp_path / "made", 0), colours(tmp_path / "reference", 1)
    heard = []

    def hear(mono: Tensor) -> Tensor:
        heard.append(mono)
        return windows(mono)

    embedder = FunctionEmbedder(name="levels", sample_rate=RATE, function=hear)
    memory = ResultCache()
    both = [
        evaluate_kad(made, reference, embedder, channels="mono", memory=memory, against=against)
        for against in (reference, made)
    ]
    assert len(heard) == 24
    assert both[0].kernel_distance == pytest.approx(both[1].kernel_distance)


def test_silent_recordings_are_told_of_each_set(tmp_path: Path) -> None:
    made, reference = colours(tmp_path / "made", 0), colours(tmp_path / "reference", 1)
    other = colours(tmp_path / "other", 2)
    write(made / "03.wav", torch.zeros(2, 1600))
    write(other / "05.wav", torch.zeros(2, 1600))
    found = evaluate_kad(made, reference, EMBEDDER, against=other)
    assert found.silent == ("03",)
    assert found.against is not None
    assert found.against.silent == ("05",)


def test_what_cannot_be_measured_is_said_before_anything_is_heard(tmp_path: Path) -> None:
    made, reference = colours(tmp_path / "made", 0), colours(tmp_path / "reference", 1)
    heard = []

    def hear(mono: Tensor) -> Tensor:
        heard.append(mono)
        return windows(mono)

    embedder = FunctionEmbedder(name="levels", sample_rate=RATE, function=hear)
    with pytest.raises(ValueError, match=r"^5 resamples make no interval"):
        evaluate_kad(made, reference, embedder, resamples=5)
    (made / "03.wav").unlink()
    with pytest.raises(ValueError, match=r"made: lacks '03' of .*reference; add them, or pass"):
        evaluate_kad(reference, reference, embedder, against=made)
    assert not heard


def test_a_recording_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    made, reference = colours(tmp_path / "made", 0), colours(tmp_path / "reference", 1)
    other = colours(tmp_path / "other", 2)
    (other / "07.wav").write_bytes((other / "07.wav").read_bytes()[:300])
    with pytest.raises(AudioFileError, match=r"other/07\.wav: the file is truncated"):
        evaluate_kad(made, reference, EMBEDDER, against=other)


def test_embeddings_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    made, reference = colours(tmp_path / "made", 0), colours(tmp_path / "reference", 1)
    broken = FunctionEmbedder(
        name="broken", sample_rate=RATE, function=lambda mono: windows(mono) / 0
    )
    with pytest.raises(ValueError, match=r"reference/00\.wav: the embedding is not finite; check"):
        evaluate_kad(made, reference, broken)


def test_the_memory_is_that_of_a_tile() -> None:
    """The kernel of 6,000 vectors with themselves would be 288 MB, and their resamples more."""
    ours, theirs = normal(6000, 8, seed=0), normal(6000, 8, seed=1)
    sample = make_sample(ours, torch.arange(6000) // 10)
    reference = make_sample(theirs, torch.arange(6000) // 10)
    with LiveBytes() as live:
        compare(sample, reference, 3.0, resamples=100, block=500)
    assert live.peak < 12e6
