import csv
import gc
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.torch
import soundfile
import torch
import webdataset
from msgspec import UNSET
from torch.utils.data import default_collate

from stable_audio_open.audio.files import AudioFileError, read_audio
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.data.cache import encode_recordings
from stable_audio_open.data.datamodule import EpochSampler, ResumableLoader
from stable_audio_open.data.encoding import encode_recording, encoder_fingerprint
from stable_audio_open.data.latent_shards.reading import (
    Encoding,
    open_shards,
    read_index,
    verify_shards,
)
from stable_audio_open.data.latent_shards.writing import Plan, encode_shards, write_index
from stable_audio_open.data.latents import EncodedSet, LatentDataset, spread_of
from stable_audio_open.data.manifest import Recording

pytestmark = pytest.mark.numerical

RATE, HOP, WINDOW = 16000, 32, 16000
SECONDS = (0.3, 2.5, 0.8, 1.2, 0.5)


@pytest.fixture(scope="module")
def autoencoder(tiny_autoencoder_config: AutoencoderModelConfig) -> AudioAutoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return build_autoencoder(tiny_autoencoder_config)


@pytest.fixture
def recordings(tmp_path: Path) -> list[Recording]:
    """Noise, mono and stereo, shorter and longer than the window."""
    random = np.random.default_rng(0)
    folder = tmp_path / "recordings" / "a.b"
    folder.mkdir(parents=True)
    found = []
    for index, seconds in enumerate(SECONDS):
        samples = 0.1 * random.standard_normal((round(seconds * RATE), 1 + index % 2))
        soundfile.write(folder / f"{index}.wav", samples, RATE, subtype="FLOAT")
        found.append(
            Recording(
                file=f"a.b/{index}.wav",
                caption=f"Geräusch, number {index}",
                tags=("noise", str(index)),
                source=f"freesound:{index}",
            )
        )
    several = (found[1].caption, "a noise", "noise, mono")
    found[1] = msgspec.structs.replace(found[1], captions=several)
    return found


@pytest.fixture
def plan(tmp_path: Path, recordings: list[Recording], autoencoder: AudioAutoencoder) -> Plan:
    """Shards of 2, 2 and 1."""
    encoding = Encoding(
        encoder=encoder_fingerprint(autoencoder),
        sample_rate=RATE,
        audio_channels=2,
        downsampling=HOP,
        latent_channels=8,
        window_samples=WINDOW,
    )
    return Plan(recordings, tmp_path / "recordings", tmp_path / "shards", encoding, 2, 0.0)


@pytest.fixture
def encode(plan: Plan, autoencoder: AudioAutoencoder) -> Callable[..., int]:
    """Write all, and return how many shards were made."""

    def encode(**changes: Any) -> int:
        made = encode_shards(plan._replace(**changes), autoencoder)
        write_index(plan._replace(**changes))
        return made

    return encode


def dataset(encoded: EncodedSet, **settings: Any) -> LatentDataset:
    return LatentDataset(
        recordings=encoded.recordings,
        latents=encoded.latents,
        window=WINDOW // HOP,
        downsampling=HOP,
        sample_rate=RATE,
        **settings,
    )


def inodes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.glob("*.tar")}


def test_whole_epochs_are_those_of_the_cache(
    plan: Plan, encode: Callable[..., int], autoencoder: AudioAutoencoder, tmp_path: Path
) -> None:
    assert encode() == 3
    cached = encode_recordings(
        autoencoder=autoencoder,
        recordings=plan.recordings,
        folder=plan.folder,
        cache=tmp_path / "cache",
        channels=2,
        window_samples=WINDOW,
    )
    spread = spread_of([one for one in cached if one is not None])
    sharded = open_shards(plan.output, plan.encoding)
    assert sharded.spread.means == pytest.approx(spread.means, rel=1e-12)
    assert sharded.spread.draws == pytest.approx(spread.draws, rel=1e-12)
    settings: dict[str, Any] = {"seed": 4, "trailing_silence": 1.0, "caption_share": 0.5}
    ours = dataset(sharded, **settings)
    theirs = dataset(EncodedSet(plan.recordings, cached, spread), **settings)
    assert len(ours) == len(theirs) == 8
    for epoch in range(3):
        ours.set_epoch(epoch)
        theirs.set_epoch(epoch)
        for index in range(len(ours)):
            one, other = dict(ours[index]), dict(theirs[index])
            assert torch.equal(one.pop("latents"), other.pop("latents"))
            assert torch.equal(one.pop("std"), other.pop("std"))
            assert one == other


def test_a_batch_is_the_one_encoded_on_the_fly(
    plan: Plan, encode: Callable[..., int], autoencoder: AudioAutoencoder
) -> None:
    encode()
    short = [index for index, seconds in enumerate(SECONDS) if seconds * RATE <= WINDOW]
    data = dataset(open_shards(plan.output, plan.encoding), crops_per_recording=1)
    batch = default_collate([data[index] for index in short])
    audio = torch.zeros(len(short), 2, WINDOW)
    for row, index in enumerate(short):
        samples = read_audio(plan.folder / plan.recordings[index].file, channels=2).samples[0]
        audio[row, :, : samples.shape[-1]] = samples
    with torch.inference_mode():
        expected = autoencoder.posterior(audio)
    torch.testing.assert_close(batch["latents"], expected.mean)
    torch.testing.assert_close(batch["std"], expected.std)
    assert batch["file"] == [plan.recordings[index].file for index in short]
    assert batch["seconds_total"].tolist() == [1.0, 1.0, 1.0]


# webdataset leaves the last file of a reader to the garbage collector.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_the_shards(
    plan: Plan, encode: Callable[..., int], autoencoder: AudioAutoencoder
) -> None:
    encode()
    tars = [str(path) for path in sorted(plan.output.glob("*.tar"))]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    gc.collect()
    assert [sample["__key__"] for sample in samples] == [f"{i:09d}" for i in range(5)]
    for sample, own in zip(samples, plan.recordings, strict=True):
        path = plan.folder / own.file
        posterior, seconds = encode_recording(autoencoder, path, channels=2, window_samples=WINDOW)
        stored = safetensors.torch.load(sample["safetensors"])
        assert stored.keys() == {"posterior"}
        assert torch.equal(stored["posterior"], posterior)
        assert stored["posterior"].dtype == torch.float32
        described = json.loads(sample["json"])
        assert described["seconds"] == seconds
        for field in Recording.__struct_fields__[:-1]:  # the last holds fields of other names
            value = getattr(own, field)
            if value is UNSET:
                assert field not in described
                continue
            assert described[field] == (list(value) if isinstance(value, tuple) else value)
        header = sample["safetensors"][8:]
        length = int.from_bytes(sample["safetensors"][:8], "little")
        metadata = json.loads(header[:length])["__metadata__"]
        assert json.loads(metadata["recording"]) == described


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")  # on 1 core
def test_processes_and_workers_see_every_recording_once(
    plan: Plan, encode: Callable[..., int]
) -> None:
    encode(recordings=plan.recordings[:4])
    for epoch in range(2):
        seen: list[str] = []
        for rank in range(2):
            data = dataset(open_shards(plan.output, plan.encoding), crops_per_recording=1)
            sampler = EpochSampler(data, replicas=2, rank=rank, seed=1)
            loader = ResumableLoader(data, batch_size=1, sampler=sampler, num_workers=2)
            sampler.set_epoch(epoch)
            mine = [file for batch in loader for file in batch["file"]]
            assert len(mine) == 2
            seen += mine
        assert sorted(seen) == [own.file for own in plan.recordings[:4]]


def test_bytes_do_not_depend_on_who_makes_a_shard(
    plan: Plan, encode: Callable[..., int], autoencoder: AudioAutoencoder, tmp_path: Path
) -> None:
    encode()
    shared = plan._replace(output=tmp_path / "shared")
    made = [encode_shards(shared, autoencoder, rank=rank, processes=2) for rank in (1, 0)]
    assert made == [1, 2]
    assert write_index(shared) == read_index(plan.output)
    for path in plan.output.iterdir():
        assert path.read_bytes() == (shared.output / path.name).read_bytes()


def test_the_index_describes_the_shards(plan: Plan, encode: Callable[..., int]) -> None:
    encode()
    index = read_index(plan.output)
    assert (index.encoding, index.recordings, index.unusable) == (plan.encoding, 5, 0)
    assert [shard.recordings for shard in index.shards] == [2, 2, 1]
    for shard in index.shards:
        content = (plan.output / shard.file).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (shard.bytes, shard.sha256)


def test_only_what_is_missing_or_changed_is_encoded(plan: Plan, encode: Callable[..., int]) -> None:
    encode()
    index, before = (plan.output / "index.json").read_bytes(), inodes(plan.output)
    assert encode() == 0
    assert inodes(plan.output) == before

    (plan.output / "shard-000001.tar").unlink()
    assert encode() == 1
    assert (plan.output / "index.json").read_bytes() == index

    (plan.output / "shard-000000.json").write_text("{")
    assert encode() == 1
    assert (plan.output / "index.json").read_bytes() == index

    # As a process leaves it that was killed: half a tar, no list.
    (plan.output / "shard-000002.json").unlink()
    (plan.output / ".shard-000002.tar.1-ab.part").write_bytes(b"half")
    assert encode() == 1
    assert (plan.output / "index.json").read_bytes() == index
    assert not list(plan.output.glob(".*"))

    before = inodes(plan.output)
    samples = np.full((8000, 1), 0.25)
    soundfile.write(plan.folder / plan.recordings[3].file, samples, RATE, subtype="FLOAT")
    assert encode() == 1
    after = inodes(plan.output)
    assert [name for name in before if before[name] != after[name]] == ["shard-000001.tar"]
    assert (plan.output / "index.json").read_bytes() != index


def test_a_changed_time_or_caption_is_a_change(plan: Plan, encode: Callable[..., int]) -> None:
    encode()
    os.utime(plan.folder / plan.recordings[0].file, (0, 0))
    assert encode() == 1
    other = Recording(file=plan.recordings[4].file, caption="something else")
    assert encode(recordings=[*plan.recordings[:4], other]) == 1
    encoded = open_shards(plan.output, plan.encoding)
    assert encoded.recordings[4] == other


def test_other_cuts_leave_no_older_shards(plan: Plan, encode: Callable[..., int]) -> None:
    encode()
    assert encode(per_shard=4) == 2
    names = {path.name for path in plan.output.iterdir()}
    assert names == {
        "index.json",
        *(f"shard-00000{number}.{suffix}" for number in (0, 1) for suffix in ("tar", "json")),
    }


def test_unusable_recordings_are_left_out_and_reported(
    plan: Plan, encode: Callable[..., int]
) -> None:
    (plan.folder / plan.recordings[1].file).write_bytes(b"")
    (plan.folder / plan.recordings[4].file).write_bytes(b"nothing")
    encode(most_unusable=0.4)
    index = read_index(plan.output)
    assert (index.recordings, index.unusable) == (3, 2)
    with (plan.output / "unusable_recordings.csv").open(newline="") as file:
        rows = {row["file"]: row["reason"] for row in csv.DictReader(file)}
    assert rows.keys() == {"a.b/1.wav", "a.b/4.wav"}
    assert "the file is empty (0 bytes)" in rows["a.b/1.wav"]
    encoded = open_shards(plan.output, plan.encoding)
    assert [own.file for own in encoded.recordings] == ["a.b/0.wav", "a.b/2.wav", "a.b/3.wav"]

    soundfile.write(plan.folder / "a.b/1.wav", np.full((8000, 1), 0.25), RATE)
    soundfile.write(plan.folder / "a.b/4.wav", np.full((8000, 1), 0.25), RATE)
    assert encode() == 2
    assert not (plan.output / "unusable_recordings.csv").exists()


def test_too_many_unusable_recordings_stop_the_encoding(
    plan: Plan, encode: Callable[..., int], autoencoder: AudioAutoencoder
) -> None:
    for index in (1, 2, 3):
        (plan.folder / plan.recordings[index].file).write_bytes(b"")
    message = r"^2 of 5 recordings cannot be used, .* share of 0\.2 .*unusable_recordings\.csv"
    with pytest.raises(AudioFileError, match=message):
        encode(most_unusable=0.2)
    assert len((plan.output / "unusable_recordings.csv").read_text().splitlines()) == 3
    # Each of two processes finds too few: the first stops at the end.
    shared = plan._replace(most_unusable=0.4, output=plan.output.with_name("shared"))
    for rank in range(2):
        encode_shards(shared, autoencoder, rank=rank, processes=2)
    with pytest.raises(AudioFileError, match=r"^3 of 5 recordings cannot be used"):
        write_index(shared)


def test_no_usable_recording(plan: Plan, encode: Callable[..., int]) -> None:
    for own in plan.recordings:
        (plan.folder / own.file).write_bytes(b"")
    with pytest.raises(AudioFileError, match=r"^none of the 5 recordings can be used; .*is empty"):
        encode(most_unusable=1.0)


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("encoder", "f" * 64),
        ("sample_rate", 44100),
        ("audio_channels", 1),
        ("downsampling", 64),
        ("latent_channels", 64),
        ("window_samples", 32000),
    ],
)
def test_another_model_is_refused_by_name(
    plan: Plan, encode: Callable[..., int], field: str, other: object
) -> None:
    encode()
    settings = {name: getattr(plan.encoding, name) for name in Encoding.__struct_fields__}
    model = Encoding(**(settings | {field: other}))
    message = rf"index\.json: was encoded with {field} {settings[field]}, and the model has {other}"
    with pytest.raises(ValueError, match=message):
        open_shards(plan.output, model)


def test_shards_of_means_alone_are_refused_in_a_line_and_encoded_again(
    plan: Plan, encode: Callable[..., int]
) -> None:
    encode()
    index = plan.output / "index.json"
    current = index.read_bytes()
    # As the first version wrote it; it made its shards from another key, too.
    older = json.loads(current) | {"format": 1, "standard_deviation": 1.0}
    del older["spread"]
    index.write_text(json.dumps(older))
    for sidecar in plan.output.glob("shard-*.json"):
        written = json.loads(sidecar.read_bytes()) | {"made_from": "another key"}
        del written["moments"]["variances"]
        sidecar.write_text(json.dumps(written))
    message = (
        rf"^{index}: has format 1, which holds no standard deviations; allowed: 2; run "
        r"`stable-audio-open encode` again with this folder as --output$"
    )
    with pytest.raises(ValueError, match=message):
        open_shards(plan.output, plan.encoding)
    assert encode() == 3
    assert index.read_bytes() == current


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-512])


DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "no index": ("index.json", Path.unlink, r"index\.json: cannot be read \(No such file"),
    "no JSON": ("index.json", lambda p: p.write_text("{"), r"index\.json: is damaged \("),
    "other JSON": ("index.json", lambda p: p.write_text("{}"), r"is damaged \(.* `format`\)"),
    "later format": (
        "index.json",
        lambda p: p.write_text(p.read_text().replace('"format": 2', '"format": 3')),
        r"index\.json: has format 3; allowed: 2",
    ),
    "no tar": ("shard-000001.tar", Path.unlink, r"shard-000001\.tar: is missing"),
    "cut tar": ("shard-000001.tar", cut, r"shard-000001\.tar: holds \d+ bytes instead of \d+"),
    "no list": ("shard-000002.json", Path.unlink, r"shard-000002\.json: cannot be read"),
    "other list": (
        "shard-000002.json",
        lambda p: p.write_text(p.read_text().replace("number", "nummer")),
        r"shard-000002\.json: is not the one that index\.json lists",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_told_in_one_line(plan: Plan, encode: Callable[..., int], name: str) -> None:
    encode()
    file, damage, message = DAMAGES[name]
    damage(plan.output / file)
    with pytest.raises(ValueError, match=message) as error:
        open_shards(plan.output, plan.encoding)
    assert "run `stable-audio-open encode` again with this folder as --output" in str(error.value)
    assert "\n" not in str(error.value)
    encode()
    verify_shards(plan.output)


def test_wrong_bytes_of_the_right_size(plan: Plan, encode: Callable[..., int]) -> None:
    encode()
    verify_shards(plan.output)
    tar = plan.output / "shard-000000.tar"
    content = bytearray(tar.read_bytes())
    content[len(content) // 2] ^= 1
    tar.write_bytes(content)
    with pytest.raises(ValueError, match=r"shard-000000\.tar: its contents are not those that"):
        verify_shards(plan.output)
    tar.write_bytes(bytes(len(content)))
    latents = open_shards(plan.output, plan.encoding).latents[0]
    assert latents is not None
    with pytest.raises(ValueError, match=r"shard-000000\.tar: is damaged; delete it and run"):
        latents.read(0, 10)


def test_a_shard_that_was_never_made(plan: Plan, autoencoder: AudioAutoencoder) -> None:
    encode_shards(plan, autoencoder, rank=1, processes=2)
    with pytest.raises(ValueError, match=r"shard-000000\.tar: is missing or does not hold the"):
        write_index(plan)


def test_shards_lie_beside_their_index(plan: Plan, encode: Callable[..., int]) -> None:
    encode()
    path = plan.output / "index.json"
    index = json.loads(path.read_bytes())
    index["shards"][0]["file"] = "../shard-000000.tar"
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"a shard is named '../shard-000000.tar'; allowed: names"):
        read_index(plan.output)
