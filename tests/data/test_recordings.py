"""Recordings in the shards of `curate build`, trained on as files are."""

import hashlib
import io
import json
import multiprocessing
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from msgspec import UNSET
from torch.utils.data import DataLoader

from stable_audio_open.audio.files import audio_info
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.curation.catalogue.parquet import write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.training_set.write import build_training_set
from stable_audio_open.data.cache import CachedLatents, encode_recordings
from stable_audio_open.data.dataset import CropDataset
from stable_audio_open.data.faults import Fault, Faults
from stable_audio_open.data.latent_shards.reading import read_index
from stable_audio_open.data.manifest import Recording, read_manifest, write_manifest
from stable_audio_open.data.recordings import holds_recordings, read_recordings

RATE = 16000
Rewrite = Callable[[Callable[[dict[str, bytes]], dict[str, bytes]]], None]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Five FLAC files in tars of two, two and one, in an order of their own."""
    random = np.random.default_rng(0)
    audio = tmp_path / "audio"
    audio.mkdir()
    records = []
    for index in range(5):
        samples = 0.1 * random.standard_normal((4000 + 3000 * index, 1 + index % 2))
        soundfile.write(audio / f"{index}.flac", samples, RATE)
        records.append(
            CatalogueRecord(
                id=f"x:{index}",
                file=f"{index}.flac",
                caption=f"Geräusch {index}",
                captions=(f"Geräusch {index}", "noise") if index == 3 else None,
                tags=("noise",),
                licence="CC0",
                author="ann",
            )
        )
    write_catalogue(tmp_path / "catalogue", records)
    output = tmp_path / "sets" / "train"
    build_training_set(
        tmp_path / "catalogue", audio, output, form="shards", per_shard=2, chunks=False
    )
    return output


@pytest.fixture
def files(shards: Path, tmp_path: Path) -> tuple[Path, list[Recording]]:
    """The same recordings in the same order, as files of the same names in another folder."""
    folder = tmp_path / "unpacked"
    lines = []
    for one in read_recordings(shards, "index.json"):
        tar, name = one.file.split("/")
        target = folder / tar / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(shards / tar) as opened:
            member = opened.extractfile(name)
            assert member is not None
            target.write_bytes(member.read())
        lines.append(one)
    write_manifest(folder / "manifest.jsonl", lines)
    return folder, read_manifest(folder)


@pytest.fixture
def rewrite(shards: Path) -> Rewrite:
    """Write the first tar with other contents, and the index accordingly."""

    def rewrite(change: Callable[[dict[str, bytes]], dict[str, bytes]]) -> None:
        path = shards / "shard-000000.tar"
        with tarfile.open(path) as tar:
            held = {m.name: tar.extractfile(m).read() for m in tar}  # type: ignore[union-attr]
        with tarfile.open(path, "w") as tar:
            for name, content in change(held).items():
                header = tarfile.TarInfo(name)
                header.size = len(content)
                tar.addfile(header, io.BytesIO(content))
        index = json.loads((shards / "index.json").read_text())
        content = path.read_bytes()
        index["shards"][0] |= {
            "bytes": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        (shards / "index.json").write_text(json.dumps(index))

    return rewrite


def crops(folder: Path, recordings: list[Recording], faults: Faults | None = None) -> CropDataset:
    return CropDataset(
        recordings=recordings,
        folder=folder,
        sample_rate=RATE // 2,
        channels=2,
        crop_samples=1500,
        seed=3,
        faults=faults,
    )


def test_recordings_are_those_of_the_catalogue(shards: Path) -> None:
    found = read_recordings(shards, "index.json")
    assert [one.file for one in found] == [f"shard-{n // 2:06d}.tar/{n:09d}.flac" for n in range(5)]
    numbers = [int((one.source or "").removeprefix("x:")) for one in found]
    assert sorted(numbers) == list(range(5)) != numbers
    for number, one in zip(numbers, found, strict=True):
        assert one == Recording(
            file=one.file,
            caption=f"Geräusch {number}",
            captions=("Geräusch 3", "noise") if number == 3 else UNSET,
            tags=("noise",),
            source=f"x:{number}",
            author="ann",
            licence="CC0",
            other=one.other,  # of its header, as below
        )
        info = audio_info(shards / one.file)
        assert [one.value(name) for name in ("seconds", "sample_rate", "channels")] == [
            info.duration,
            info.sample_rate,
            info.channels,
        ]
    below = read_recordings(shards.parent, "train/index.json")
    assert [one.file for one in below] == [f"train/{one.file}" for one in found]


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")
@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_crops_are_those_of_the_files(
    shards: Path, files: tuple[Path, list[Recording]], start: str
) -> None:
    ours = crops(shards, read_recordings(shards, "index.json"))
    theirs = crops(*files)
    assert len(ours) == len(theirs) > 5
    context = multiprocessing.get_context(start)
    loader = DataLoader(ours, batch_size=None, num_workers=2, multiprocessing_context=context)
    for epoch in range(2):
        ours.set_epoch(epoch)
        theirs.set_epoch(epoch)
        loaded: list[Any] = list(loader)
        for index in range(len(theirs)):
            assert torch.equal(loaded[index]["audio"], theirs[index]["audio"])
            assert loaded[index]["file"] == theirs[index]["file"]


@pytest.fixture(scope="module")
def autoencoder(tiny_autoencoder_config: AutoencoderModelConfig) -> AudioAutoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return build_autoencoder(tiny_autoencoder_config)


def test_latents_are_those_of_the_files(
    shards: Path,
    files: tuple[Path, list[Recording]],
    autoencoder: AudioAutoencoder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def encode(folder: Path, recordings: list[Recording], cache: str) -> list[CachedLatents]:
        made = encode_recordings(
            autoencoder=autoencoder,
            recordings=recordings,
            folder=folder,
            cache=tmp_path / cache,
            channels=2,
            window_samples=RATE,
        )
        return [one for one in made if one is not None]

    found = read_recordings(shards, "index.json")
    ours, theirs = encode(shards, found, "ours"), encode(*files, "theirs")
    assert len(ours) == len(theirs) == 5
    for one, other in zip(ours, theirs, strict=True):
        assert one._replace(path=other.path) == other
        assert torch.equal(one.read(0, one.frames), other.read(0, other.frames))
    caplog.set_level("INFO")
    encode(*files, "ours")
    assert "5 recordings are encoded, 0 of them now" in caplog.text


def test_lines_of_a_manifest_may_name_files_in_tars(shards: Path) -> None:
    found = read_recordings(shards, "index.json")
    write_manifest(shards / "some.jsonl", found[1:3])
    assert read_recordings(shards, "some.jsonl") == found[1:3]
    (shards / "some.jsonl").write_text('{"file": "shard-000000.tar/no.flac", "caption": "c"}')
    with pytest.raises(ValueError, match=r"some.jsonl:1: \S*tar/no.flac is not there; add it or"):
        read_recordings(shards, "some.jsonl")


def test_a_damaged_recording_is_left_out(
    shards: Path, rewrite: Rewrite, autoencoder: AudioAutoencoder, tmp_path: Path
) -> None:
    """The second cannot be opened; the end of the first is missing, which decoding tells."""
    names = ("000000000.flac", "000000001.flac")
    rewrite(lambda held: held | {names[0]: held[names[0]][:-900], names[1]: held[names[1]][:20]})
    found = read_recordings(shards, "index.json")
    faults = Faults(tmp_path / "crops.csv", recordings=5, most=0.5)
    data = crops(shards, found, faults)
    assert set(data.owners) == {0, 1, 2, 3, 4}  # the shard tells their lengths
    items = [data[index] for index in range(len(data))]
    unread = faults.reasons | dict(item for item in items if isinstance(item, Fault))
    inside = {f"shard-000000.tar/{name}" for name in names}
    assert unread.keys() == inside
    assert all(f"{shards / name}: " in reason for name, reason in unread.items())
    faults = Faults(tmp_path / "latents.csv", recordings=5, most=0.5)
    made = encode_recordings(
        autoencoder=autoencoder,
        recordings=found,
        folder=shards,
        cache=tmp_path / "cache",
        channels=2,
        window_samples=RATE,
        faults=faults,
    )
    assert [one is None for one in made] == [True, True, False, False, False]
    assert faults.reasons.keys() == inside


def test_a_set_that_is_not_whole(shards: Path, rewrite: Rewrite) -> None:
    def refuse(message: str) -> None:
        with pytest.raises(ValueError, match=rf"^\S*{message}[^\n]*$"):
            read_recordings(shards, "index.json")

    again = "copy the set again, or build it again with `stable-audio-open curate build"
    rewrite(lambda held: {n: c for n, c in held.items() if n != "000000000.flac"})
    refuse(f"shard-000000.tar/000000000.flac: is described in the tar but missing; {again}")
    rewrite(lambda held: {n: c for n, c in held.items() if not n.startswith("000000000")})
    refuse(f"shard-000000.tar: holds 1 recordings instead of 2; {again}")
    rewrite(lambda held: held | {"000000001.json": b'{"file": "a", "caption": "b", "colour": 1}'})
    refuse(r"shard-000000.tar/000000001.json: Object contains unknown field `colour`; the fields")
    rewrite(lambda held: held | {"000000001.json": b"{"})
    refuse("shard-000000.tar/000000001.json: Input data was truncated; the fields are ")
    rewrite(lambda held: held | {"000000001.json": '{"caption": "Glöckchen"}'.encode("latin-1")})
    refuse(r"shard-000000.tar/000000001.json: byte 0xf6 in column 16 is not UTF-8; save the file")
    tar = shards / "shard-000001.tar"
    content = tar.read_bytes()
    rewrite(lambda held: {})
    index = json.loads((shards / "index.json").read_text())
    index["shards"][0]["recordings"] = 0
    (shards / "index.json").write_text(json.dumps(index))
    refuse(f"index.json: lists 5 recordings, its shards 3; {again}")
    tar.write_bytes(content[:-100])
    refuse(
        rf"shard-000001.tar: holds {len(content) - 100} bytes instead of {len(content)}; {again}"
    )
    tar.write_bytes(b"words" + bytes(len(content) - 5))
    refuse(r"shard-000001.tar: not an uncompressed tar \([^\n]*\); copy or build it again$")
    tar.unlink()
    refuse(f"shard-000001.tar: is missing; {again}")
    index["shards"][1]["file"] = "../other.tar"
    (shards / "index.json").write_text(json.dumps(index))
    refuse("index.json: a shard is named '../other.tar'; allowed: names of .tar files beside it")
    (shards / "index.json").write_text('{"shards": []}')
    refuse(rf"index.json: not the index of a set in shards \([^\n]*`recordings`\); {again}")
    (shards / "index.json").unlink()
    refuse(r"index.json: cannot be read \(No such file or directory\); give the folder of a set")


def test_the_index_is_named(shards: Path, tmp_path: Path) -> None:
    message = r"manifest.jsonl: is not there, but the index.json of a set in shards is; set man"
    with pytest.raises(ValueError, match=message):
        read_recordings(shards)
    for manifest in ("../train/index.json", str(shards / "index.json")):
        with pytest.raises(ValueError, match=r"manifest is '\S*'; give the path of an index.json"):
            read_recordings(shards, manifest)


def test_recordings_and_latents_are_told_apart(shards: Path, tmp_path: Path) -> None:
    assert holds_recordings(shards)
    with pytest.raises(ValueError, match=r"index.json: lists recordings, not latents; encode them"):
        read_index(shards)
    (tmp_path / "index.json").write_text('{"format": 1, "encoding": {}, "shards": []}')
    assert not holds_recordings(tmp_path)
    with pytest.raises(ValueError, match=r"index.json: lists latents, not recordings; train on"):
        read_recordings(tmp_path, "index.json")


OUTSIDE = "../../../../victim/model"


@pytest.mark.parametrize("also_named_so", [True, False])
def test_no_path_in_a_tar_leads_out_of_it(
    shards: Path,
    rewrite: Rewrite,
    autoencoder: AudioAutoencoder,
    tmp_path: Path,
    also_named_so: bool,
) -> None:
    """Latents are written below the cache by the names of recordings."""
    victim = tmp_path / "victim" / "model.flac.safetensors"
    victim.parent.mkdir()
    victim.write_bytes(b"weights")

    def hostile(held: dict[str, bytes]) -> dict[str, bytes]:
        described = json.loads(held["000000000.json"]) | {"file": f"{OUTSIDE}.flac"}
        changed = held | {"000000000.json": json.dumps(described).encode()}
        if also_named_so:
            changed[f"{OUTSIDE}.flac"] = changed.pop("000000000.flac")
        return changed

    rewrite(hostile)
    message = (
        rf"shard-000000.tar: (holds|describes) '{OUTSIDE}.flac', a path that leads out of it; "
    )
    with pytest.raises(ValueError, match=message):
        read_recordings(shards, "index.json")
    recordings = [Recording(file=f"{OUTSIDE}.flac", caption="x")]
    with pytest.raises(ValueError, match=rf"^file is '{OUTSIDE}.flac'; give a path inside "):
        encode_recordings(
            autoencoder=autoencoder,
            recordings=recordings,
            folder=shards,
            cache=tmp_path / "cache",
            channels=2,
            window_samples=RATE,
        )
    assert victim.read_bytes() == b"weights"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("name", ["../x.tar", "/x.tar", "a/x.tar", "", "."])
def test_shards_lie_beside_their_index(shards: Path, name: str) -> None:
    path = shards / "index.json"
    index = json.loads(path.read_bytes())
    index["shards"][0]["file"] = name
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=rf"index.json: a shard is named '{name}'; allowed: names"):
        read_recordings(shards, "index.json")
