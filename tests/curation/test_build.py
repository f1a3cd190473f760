import gc
import hashlib
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import webdataset

from stable_audio_open.curation.catalogue.decisions import (
    Decision,
    add_decisions,
    final_decisions,
    now,
)
from stable_audio_open.curation.catalogue.parquet import read_catalogue, write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.training_set.select import (
    caption,
    manifest_line,
    open_items,
    select,
    table,
)
from stable_audio_open.curation.training_set.write import build_training_set

CC0 = "http://creativecommons.org/publicdomain/zero/1.0/"
BY = "http://creativecommons.org/licenses/by/4.0/"


def record(id: str, file: str | None, **more: object) -> CatalogueRecord:
    fields = {"title": id.upper(), "tags": ("Bell", "metal"), "licence": CC0, "author": "ann"}
    return CatalogueRecord(id=id, file=file, **(fields | more))  # type: ignore[arg-type]


RECORDS = [
    record("freesound:1", "a/one.wav", description="A bell\nrings", duration=99.0),
    record("freesound:2", "two.flac", licence=BY, tags=("bell",)),
    record("fma:3", "three.wav", licence=BY, year=2021, album="b"),
    record("freesound:4", "four.wav"),
    record("freesound:5", "five.wav"),
    record("freesound:6", None),
    record("freesound:7", "cut.wav"),
]


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """Recordings of 18, 9 and 4.5 s, the first at 48 kHz and wide, and a file that is cut off."""
    folder = tmp_path / "audio"
    (folder / "a").mkdir(parents=True)
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal((18 * 48000, 2))
    soundfile.write(folder / "a/one.wav", noise, 48000)
    soundfile.write(folder / "two.flac", noise[: 9 * 44100, 0], 44100)
    soundfile.write(folder / "three.wav", 20 * noise[: 9 * 8000], 16000, subtype="FLOAT")
    soundfile.write(folder / "four.wav", noise[:100], 16000)
    soundfile.write(folder / "five.wav", noise[:100], 16000)
    content = (folder / "four.wav").read_bytes()
    (folder / "cut.wav").write_bytes(content[:-50])
    return folder


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    folder = tmp_path / "catalogue"
    write_catalogue(folder, RECORDS)
    decided = {"freesound:4": "drop", "freesound:5": "review", "freesound:1": "keep"}
    add_decisions(
        folder,
        [
            Decision(id=name, verdict=verdict, stage="music", reason="r", by="b", at=now())  # type: ignore[arg-type]
            for name, verdict in decided.items()
        ],
    )
    return folder


def test_manifest_and_summary(catalogue: Path, audio: Path, tmp_path: Path) -> None:
    output = tmp_path / "set"
    items = build_training_set(catalogue, audio, output, form="manifest")
    assert [item.record for item in items] == RECORDS[:3]
    lines = [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()]
    assert lines[0] == {
        "file": "a/one.wav",
        "caption": "A bell rings",
        "tags": ["Bell", "metal"],
        "title": "FREESOUND:1",
        "description": "A bell\nrings",
        "source": "freesound:1",
        "author": "ann",
        "licence": CC0,
        "seconds": 18.0,
        "sample_rate": 48000,
        "channels": 2,
    }
    assert [line["file"] for line in lines] == ["a/one.wav", "two.flac", "three.wav"]
    assert list(read_catalogue(output)) == RECORDS[:3]
    summary = json.loads((output / "set.json").read_text())
    assert summary["recordings"] == 3
    assert summary["hours"] == pytest.approx(31.5 / 3600, abs=1e-4)
    assert summary["left_out"] == {"drop": 1, "no file": 1, "review": 1, "unusable": 1}
    assert re.search(r"cut\.wav: the file is truncated", summary["unusable"]["cut.wav"])
    assert summary["top_tags"] == [["bell", 3], ["metal", 2]]
    assert summary["settings"] == {"form": "manifest", "seed": 0, "allow_unlicensed": False}


def test_the_table_counts_by_source_and_licence(audio: Path) -> None:
    items, _ = open_items(RECORDS[:3], audio)
    found = {(row.source, row.licence): (row.recordings, row.hours * 3600) for row in table(items)}
    expected = {
        ("freesound", CC0): (1, 18),
        ("freesound", BY): (1, 9),
        ("fma", BY): (1, 4.5),
        ("freesound", "all"): (2, 27),
        ("fma", "all"): (1, 4.5),
        ("all", BY): (2, 13.5),
        ("all", CC0): (1, 18),
        ("all", "all"): (3, 31.5),
    }
    assert found == {key: (n, pytest.approx(s, abs=0.2)) for key, (n, s) in expected.items()}
    assert [(row.source, row.licence) for row in table(items)][-1] == ("all", "all")


# webdataset leaves the last file of a reader to the garbage collector.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_shards_hold_the_audio_and_the_records(
    catalogue: Path, audio: Path, tmp_path: Path
) -> None:
    output = tmp_path / "set"
    build_training_set(catalogue, audio, output, form="shards", per_shard=2, seed=5)
    index = json.loads((output / "index.json").read_text())
    assert index["recordings"] == 3
    assert [shard["recordings"] for shard in index["shards"]] == [2, 1]
    for shard in index["shards"]:
        content = (output / shard["file"]).read_bytes()
        assert len(content) == shard["bytes"]
        assert hashlib.sha256(content).hexdigest() == shard["sha256"]
    tars = [str(output / shard["file"]) for shard in index["shards"]]
    samples = list(webdataset.WebDataset(tars, shardshuffle=False))
    gc.collect()
    assert [sample["__key__"] for sample in samples] == [f"{n:09d}" for n in range(3)]
    by_source = {}
    for sample in samples:
        described = json.loads(sample["json"])
        assert described["file"] == f"{sample['__key__']}.flac"
        by_source[described["source"]] = sample["flac"], described
    for own in RECORDS[:3]:
        flac, described = by_source[own.id]
        assert CatalogueRecord(**_tuples(described["record"])) == own
        stored, rate = soundfile.read(io.BytesIO(flac), dtype="float32")
        samples, original = soundfile.read(audio / str(own.file), dtype="float32")
        assert rate == original == described["sample_rate"]
        peak = max(1.0, float(np.abs(samples).max()))
        np.testing.assert_allclose(stored, samples / peak, atol=2**-23)
    assert by_source["freesound:2"][0] == (audio / "two.flac").read_bytes()


def _tuples(fields: dict[str, object]) -> dict[str, object]:
    return {name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()}


def test_shards_are_the_same_bytes_by_seed(catalogue: Path, audio: Path, tmp_path: Path) -> None:
    def written(name: str, seed: int) -> dict[str, bytes]:
        build_training_set(catalogue, audio, tmp_path / name, form="shards", seed=seed)
        return {path.name: path.read_bytes() for path in (tmp_path / name).glob("*.*")}

    assert written("one", 0) == written("two", 0)
    others = {written(f"seed{seed}", seed)["shard-000000.tar"] for seed in range(1, 6)}
    assert len(others) > 1


def test_chunks_of_the_set(catalogue: Path, audio: Path, tmp_path: Path) -> None:
    output = tmp_path / "set"
    build_training_set(catalogue, audio, output, form="manifest", chunks=True)
    chunks = [json.loads(line) for line in (output / "chunks.jsonl").read_text().splitlines()]
    counts = {
        file: [chunk["high_fidelity"] for chunk in chunks if chunk["file"] == file]
        for file in ("a/one.wav", "two.flac", "three.wav")
    }
    assert counts == {"a/one.wav": [True] * 6, "two.flac": [False], "three.wav": [True]}
    summary = json.loads((output / "set.json").read_text())
    assert (summary["chunks"], summary["high_fidelity"]) == (8, 1)
    assert summary["settings"]["chunks"]["seconds"] == 5


def test_what_is_refused(catalogue: Path, audio: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(str(audio))}: is not an empty folder"):
        build_training_set(catalogue, audio, audio, form="manifest")
    for path in ("../two.flac", "/two.flac", ""):
        with pytest.raises(ValueError, match=r"^x:1: file is .*give a path inside"):
            open_items([record("x:1", path)], audio)
    with pytest.raises(ValueError, match=r"no recording can be used \(.*gone\.wav: no such file"):
        open_items([record("x:1", "gone.wav")], audio)
    dropped = Decision(id="x:1", verdict="drop", stage="s", reason="r", by="b", at=now())
    add_decisions(tmp_path / "none", [dropped])
    write_catalogue(tmp_path / "none", [record("x:1", "two.flac")])
    with pytest.raises(ValueError, match=r"none: no recording stands \(1 drop\)"):
        build_training_set(tmp_path / "none", audio, tmp_path / "set", form="manifest")
    assert not (tmp_path / "set").exists()


def test_a_person_brings_a_recording_back(catalogue: Path) -> None:
    decision = Decision(
        id="freesound:4", verdict="keep", stage="review", reason="r", by="eve", at=now()
    )
    dropped = Decision(id="freesound:4", verdict="drop", stage="s", reason="r", by="b", at=now())
    chosen = select(RECORDS, final_decisions([decision, dropped]))
    assert RECORDS[3] in chosen.records
    assert chosen.left_out == {"no file": 1}


def test_captions_fall_back() -> None:
    sound = CatalogueRecord(id="x:1", file="kick_drum.wav")
    assert caption(sound) == "kick drum"
    assert caption(CatalogueRecord(id="x:1", file="k.wav", genres=("a", "b"))) == "a, b"
    assert caption(CatalogueRecord(id="x:1", file="k.wav", tags=("t",), genres=("a",))) == "t"
    assert caption(CatalogueRecord(id="x:1", title="T", description=" ", tags=("t",))) == "T"
    assert manifest_line(sound) == {
        "file": "kick_drum.wav",
        "caption": "kick drum",
        "source": "x:1",
    }
    assert caption(CatalogueRecord(id="x:1", title="T", description="D", caption="a bell")) == (
        "a bell"
    )
    assert caption(CatalogueRecord(id="x:1", title="T", description="D", caption=" ")) == "D"
