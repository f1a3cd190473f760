import hashlib
import json
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stable_audio_open.audio.files import AudioFileError, audio_blocks
from stable_audio_open.similarity.audio_hashes import audio_hash, hash_files


@pytest.fixture
def integers() -> np.ndarray:
    """16-bit stereo with both extremes."""
    samples = np.random.default_rng(0).integers(-3000, 3000, (5000, 2), dtype=np.int16)
    samples[:2] = [[-32768, 32767], [32767, -32768]]
    return samples


def test_the_definition_whatever_the_container(tmp_path: Path, integers: np.ndarray) -> None:
    content = b"pcm16 44100 2\n" + integers.astype("<i2").tobytes() + struct.pack("<Q", 5000)
    expected = hashlib.sha256(content).hexdigest()
    soundfile.write(tmp_path / "a.wav", integers, 44100)
    soundfile.write(tmp_path / "b.flac", integers, 44100)
    soundfile.write(tmp_path / "c.wav", integers / 32768, 44100, subtype="FLOAT")
    soundfile.write(tmp_path / "d.flac", integers / 32768, 44100, subtype="PCM_24")
    for name in ("a.wav", "b.flac", "c.wav", "d.flac"):
        assert audio_hash(tmp_path / name) == expected


def test_what_differs_has_another_hash(tmp_path: Path, integers: np.ndarray) -> None:
    changed = integers.copy()
    changed[-1, 1] += 1
    for name, samples, rate in (
        ("a", integers, 44100),
        ("rate", integers, 48000),
        ("sample", changed, 44100),
        ("shorter", integers[:-1], 44100),
        ("mono", integers.reshape(-1, 1), 44100),
        ("longer", np.concatenate([integers, 0 * integers[:1]]), 44100),
    ):
        soundfile.write(tmp_path / f"{name}.wav", samples, rate)
    assert len({audio_hash(path) for path in tmp_path.iterdir()}) == 6


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3"])
def test_blocks_are_the_file(tmp_path: Path, integers: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, integers[2:] / 32768, 44100)
    blocks = [block.samples[0].T.numpy() for block in audio_blocks(path, frames=700)]
    whole = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert {len(block) for block in blocks[:-1]} == {700}


def test_known_hashes_are_not_computed_again(tmp_path: Path, integers: np.ndarray) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, integers, 44100)
    (tmp_path / "text.wav").write_text("no audio")
    files = ["a.wav", "b.wav", "text.wav", "gone.wav"]
    found, unusable = hash_files(files, tmp_path, tmp_path / "list")
    assert found == dict.fromkeys(files[:2], audio_hash(tmp_path / "a.wav"))
    assert list(unusable) == files[2:]
    assert "not a readable audio file" in unusable["text.wav"]
    # What the list says is believed while size and time of the file stay; a cut line is not.
    path = tmp_path / "list" / "hashes.jsonl"
    lines = path.read_text().splitlines()
    known = json.loads(lines[0]) | {"hash": "known"}
    path.write_text(json.dumps(known) + "\n" + lines[1][:20])
    assert hash_files(files[:2], tmp_path, tmp_path / "list")[0]["a.wav"] == "known"
    soundfile.write(tmp_path / "a.wav", integers[:100], 44100)
    again, _ = hash_files(files[:2], tmp_path, tmp_path / "list")
    assert again == {name: audio_hash(tmp_path / name) for name in files[:2]}


def test_files_in_tars(tmp_path: Path, integers: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.flac", integers, 44100)
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(tmp_path / "a.flac", "b.flac")
    (tmp_path / "bad.tar").write_bytes(b"words" * 200)
    names = ("a.flac", "set.tar/b.flac", "set.tar/gone.flac", "bad.tar/b.flac")
    found, unusable = hash_files(names, tmp_path, tmp_path / "list")
    assert found.keys() == {"a.flac", "set.tar/b.flac"}
    assert found["set.tar/b.flac"] == found["a.flac"]
    assert "set.tar/gone.flac: the tar holds no such file" in unusable["set.tar/gone.flac"]
    assert "bad.tar: not an uncompressed tar" in unusable["bad.tar/b.flac"]
    assert hash_files(names, tmp_path, tmp_path / "list") == (found, unusable)
    assert (tmp_path / "list" / "hashes.jsonl").read_bytes().count(b"\n") <= 3


def test_damage_is_an_error(tmp_path: Path, integers: np.ndarray) -> None:
    soundfile.write(tmp_path / "a.flac", integers, 44100)
    content = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioFileError, match="truncated"):
        audio_hash(tmp_path / "a.flac")
