import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.curation.catalogue.decisions import (
    add_decisions,
    final_decisions,
    read_decisions,
)
from stable_audio_open.curation.catalogue.parquet import write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.duplicates.calibration import LabelledPair
from stable_audio_open.curation.duplicates.copies import (
    exact_copies,
    near_copies,
    representative,
)
from stable_audio_open.curation.duplicates.stage import calibrate_duplicates, decide_duplicates
from stable_audio_open.similarity.embeddings import EmbeddingCache
from tests.function_embedder import FunctionEmbedder

RATE = 16000


def record(id: str, file: str | None = None, **more: float) -> CatalogueRecord:
    return CatalogueRecord(id=id, file=file or f"{id}.wav", **more)  # type: ignore[arg-type]


def test_the_representative() -> None:
    order = [
        record("z", duration=3.0),
        record("y", duration=2.0, sample_rate=48000),
        record("x", duration=2.0, sample_rate=44100, channels=2),
        record("v", duration=2.0, sample_rate=44100, channels=1),
        record("w", duration=2.0, sample_rate=44100, channels=1),
        record("a"),
    ]
    for start in range(len(order)):
        assert representative(reversed(order[start:])) == order[start]


def test_exact_copies() -> None:
    records = [record("a"), record("b", duration=2.0), record("c"), record("d"), record("e")]
    hashes = {"a.wav": "1", "b.wav": "1", "c.wav": "2", "d.wav": "1"}
    kept, decisions = exact_copies(records, hashes, by="me")
    assert [r.id for r in kept] == ["b", "c"]
    assert [(d.id, d.verdict, d.stage, d.reason, d.by) for d in decisions] == [
        ("a", "drop", "duplicates", "exact copy of b", "me"),
        ("d", "drop", "duplicates", "exact copy of b", "me"),
    ]


def test_near_copies_directly_and_through_others() -> None:
    degrees = torch.tensor([0.0, 20.0, 40.0, 120.0]).deg2rad()
    embeddings = 3 * torch.stack([degrees.cos(), degrees.sin()], dim=1)
    records = [record("a", duration=9.0), record("b"), record("c"), record("d")]
    decisions = near_copies(records, embeddings, threshold=0.93, by="me")
    assert [(d.id, d.verdict, d.reason) for d in decisions] == [
        ("b", "review", "near copy of a (similarity 0.9397)"),
        ("c", "review", "near copy of a (similarity 0.7660, through others)"),
    ]


class Spectrum:
    """Energy in 32 bands, and how often it was asked for."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, mono: Tensor) -> Tensor:
        self.calls += 1
        power = torch.fft.rfft(mono).abs().square()
        return torch.stack([band.mean() for band in power.tensor_split(32)]).log1p()[None]


def embedder(function: Spectrum, name: str = "spectrum") -> FunctionEmbedder:
    return FunctionEmbedder(name=name, sample_rate=8000, function=function)


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """A tone, the same in FLAC and at another level; another tone; noise."""
    folder = tmp_path / "audio"
    folder.mkdir()
    time = np.arange(RATE) / RATE
    rng = np.random.default_rng(0)
    low, high = (0.3 * np.sin(2 * np.pi * f * time) for f in (330, 2500))
    soundfile.write(folder / "low.wav", low, RATE)
    integers, _ = soundfile.read(folder / "low.wav", dtype="int16")
    soundfile.write(folder / "low.flac", integers, RATE)
    soundfile.write(folder / "quiet.wav", 0.9 * low[:-100], RATE)
    soundfile.write(folder / "high.wav", high, RATE)
    soundfile.write(folder / "noise.wav", 0.1 * rng.standard_normal((RATE, 2)), RATE)
    (folder / "cut.wav").write_bytes((folder / "low.wav").read_bytes()[:999])
    return folder


NAMES = ("low.wav", "low.flac", "quiet.wav", "high.wav", "noise.wav", "cut.wav")


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    folder = tmp_path / "catalogue"
    records = [record(name, name, duration=1.0 - 0.1 * (name == "quiet.wav")) for name in NAMES]
    write_catalogue(folder, [*records, CatalogueRecord(id="no file")])
    return folder


def test_from_files_to_decisions(catalogue: Path, audio: Path) -> None:
    function = Spectrum()
    found = decide_duplicates(catalogue, audio, embedder=embedder(function), threshold=0.99)
    assert found == (6, 1, 1, 1)
    holds = final_decisions(read_decisions(catalogue))
    assert {name: d.verdict for name, d in holds.items()} == {
        "low.wav": "drop",
        "quiet.wav": "review",
    }
    assert holds["low.wav"].reason == "exact copy of low.flac"
    assert holds["quiet.wav"].reason.startswith("near copy of low.flac (similarity 0.99")
    assert holds["quiet.wav"].by == "curate duplicates, spectrum, threshold 0.99"
    assert function.calls == 4
    # Again: nothing is computed, nothing is decided twice.
    assert decide_duplicates(catalogue, audio, embedder=embedder(function), threshold=0.99) == (
        5,
        0,
        1,
        1,
    )
    assert len(read_decisions(catalogue)) == 2
    assert function.calls == 4


def test_a_dropped_recording_represents_nobody(catalogue: Path, audio: Path) -> None:
    decide_duplicates(catalogue, audio)
    (decision,) = read_decisions(catalogue)
    (catalogue / "decisions.jsonl").unlink()
    others = [
        type(decision)(
            **{
                **{f: getattr(decision, f) for f in decision.__struct_fields__},
                "id": "low.flac",
                "stage": "licence",
            }
        )
    ]
    add_decisions(catalogue, others)
    assert decide_duplicates(catalogue, audio).exact == 0
    assert final_decisions(read_decisions(catalogue)).keys() == {"low.flac"}


def test_calibration_on_recordings(catalogue: Path, audio: Path) -> None:
    pairs = [
        LabelledPair("low.wav", "low.flac", True),
        LabelledPair("low.wav", "quiet.wav", True),
        LabelledPair("low.wav", "high.wav", False),
        LabelledPair("noise.wav", "high.wav", False),
    ]
    model = embedder(Spectrum())
    found = calibrate_duplicates(catalogue, audio, embedder=model, pairs=pairs)
    assert len(found.rows) == 4
    assert found.no_false_positives == found.no_false_negatives == found.rows[1].threshold > 0.9
    assert read_decisions(catalogue) == []
    for name in ("cut.wav", "no file", "gone"):
        with pytest.raises(ValueError, match=f"has no readable recording '{name}'"):
            calibrate_duplicates(
                catalogue, audio, embedder=model, pairs=[LabelledPair("low.wav", name, True)]
            )


def test_an_interrupted_embedding_goes_on(catalogue: Path, audio: Path) -> None:
    function = Spectrum()

    def fails_at_third(mono: Tensor) -> Tensor:
        if function.calls == 2:
            raise KeyboardInterrupt
        return function(mono)

    broken = FunctionEmbedder(name="spectrum", sample_rate=8000, function=fails_at_third)
    with pytest.raises(KeyboardInterrupt):
        decide_duplicates(catalogue, audio, embedder=broken, threshold=0.99)
    assert read_decisions(catalogue) == []
    decide_duplicates(catalogue, audio, embedder=embedder(function), threshold=0.99)
    assert function.calls == 4
    decide_duplicates(catalogue, audio, embedder=embedder(function, "other"), threshold=0.99)
    assert function.calls == 8


def test_the_cache(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, "clap:a/b", part=2)
    rows = torch.arange(1.0, 11.0).view(5, 2)
    for key, row in zip("abcde", rows, strict=True):
        cache.add(key, row)
    cache.flush()
    (folder,) = tmp_path.iterdir()
    parts = sorted(path.name for path in folder.iterdir())
    assert parts == [f"part-{n:05d}.safetensors" for n in range(3)]
    again = EmbeddingCache(tmp_path, "clap:a/b")
    assert len(again) == 5
    assert all(torch.equal(again[key], row) for key, row in zip("abcde", rows, strict=True))
    assert "f" not in again
    assert len(EmbeddingCache(tmp_path, "clap:a_b")) == 0
    with pytest.raises(ValueError, match="embedding of 3 numbers, where others have 2"):
        again.add("f", torch.ones(3))
    for bad in (torch.zeros(2), torch.tensor([1.0, float("nan")])):
        with pytest.raises(ValueError, match="zero or not finite"):
            again.add("f", bad)
    shutil.copy(folder / parts[0], folder / "part-00009.safetensors")
    (folder / "part-00009.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(ValueError, match=r"part-00009\.safetensors: not a part of cached"):
        EmbeddingCache(tmp_path, "clap:a/b")
