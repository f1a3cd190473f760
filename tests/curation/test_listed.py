import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from msgspec.structs import replace

from stable_audio_open.curation.catalogue.ingest import ingest
from stable_audio_open.curation.sources.manifest import read_listed
from stable_audio_open.curation.training_set.select import manifest_line
from stable_audio_open.curation.training_set.write import build_training_set
from stable_audio_open.data.manifest import Recording, read_manifest, write_manifest

ZERO = "http://creativecommons.org/publicdomain/zero/1.0/"


def audio(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal((800, 2)), 8000)


def test_a_manifest_comes_back_as_it_was(tmp_path: Path) -> None:
    """Every field that training reads, through a catalogue's record and out again."""
    lines = [
        Recording(
            file="a/kick.wav",
            caption="deep kick",
            description="deep kick",
            tags=("kick", "drum"),
            family="bd",
            title="Kick",
            genres=("house",),
            album="b",
            artist="c",
            year=1999,
            source="freesound:1",
            author="ann",
            licence=ZERO,
            page_url="https://example.org/1",
        ),
        Recording(
            file="b.wav",
            caption="two",
            captions=("two", "a second one"),
            description="two",
            source="freesound:2",
        ),
    ]
    for line in lines:
        audio(tmp_path / line.file)
    write_manifest(tmp_path / "manifest.jsonl", lines)
    records = [row.record for row in read_listed(tmp_path / "manifest.jsonl")]
    assert all(record is not None and record.duration == 0.1 for record in records)
    written = [
        Recording(**{**manifest_line(r), "caption": r.caption, "tags": r.tags, "genres": r.genres})
        for r in records
        if r
    ]
    assert written == read_manifest(tmp_path) == lines


def test_captions_and_descriptions_reach_the_training_set(tmp_path: Path) -> None:
    """What is trained on is the given caption, and what the author says stands beside it."""
    told = {"licence": ZERO, "author": "ann"}
    lines = [
        Recording(file="a.wav", caption="deep kick", description="My 909.", source="x:1", **told),
        Recording(file="b.wav", caption="alone", source="x:2", **told),
    ]
    for line in lines:
        audio(tmp_path / line.file)
    write_manifest(tmp_path / "manifest.jsonl", lines)
    ingest(read_listed(tmp_path / "manifest.jsonl"), tmp_path / "catalogue")
    build_training_set(tmp_path / "catalogue", tmp_path, tmp_path / "set", form="manifest")
    both, alone = read_manifest(tmp_path, "set/manifest.jsonl")
    measured = {"seconds": 0.1, "sample_rate": 8000, "channels": 2}
    assert both == replace(lines[0], other=measured)
    assert (alone.caption, alone.description) == ("alone", "alone")


def test_sources_that_several_files_share_and_files_without(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        audio(tmp_path / "audio" / name)
    (tmp_path / "list.jsonl").write_text(
        '{"file": "a.wav", "caption": "a", "source": "freesound:7"}\n\n'
        '{"file": "b.wav", "caption": "b", "source": "freesound:7"}\n'
        '{"file": "c.wav", "caption": "c"}\n'
    )
    rows = list(read_listed(tmp_path / "list.jsonl", tmp_path / "audio"))
    assert [(row.position, row.record.id if row.record else None) for row in rows] == [
        (1, "freesound:7#a.wav"),
        (3, "freesound:7#b.wav"),
        (4, "folder:c.wav"),
    ]


def test_bad_lines_are_rows_with_reasons(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "m.jsonl").write_bytes(
        b"{\n"
        b'{"caption": "no file"}\n'
        b'{"file": "x.wav", "tags": "loud", "license": "CC0"}\n'
        b'{"file": "../x.wav"}\n'
        b'{"file": "gone.wav"}\n'
        b'{"file": "text.wav"}\n'
        b'{"file": "\xff.wav"}\n'
    )
    rows = list(read_listed(tmp_path / "m.jsonl"))
    assert [row.record for row in rows] == [None] * 7
    for row, reason in zip(
        rows,
        (
            "truncated",
            "missing required field `file`",
            "Expected `array`, got `str` - at `$.tags`",
            "give a path inside",
            "no such file",
            "not a readable audio file",
            "utf-8",
        ),
        strict=True,
    ):
        assert reason in row.reason.replace("UTF-8", "utf-8"), row


def test_other_fields_are_left_out_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    audio(tmp_path / "a.wav")
    line = {"file": "a.wav", "caption": "a", "duration": 3}
    path = tmp_path / "m.jsonl"
    path.write_text("\n".join(json.dumps(line | {name: 1}) for name in ("license", "bpm")) + "\n")
    rows = list(read_listed(path))
    assert [row.record.description if row.record else None for row in rows] == ["a", "a"]
    assert caplog.messages == [
        f"{path}: a catalogue has no place for its other fields: "
        '"duration", "license" (did you mean "licence"?), "bpm"'
    ]


def test_lists_of_other_systems(tmp_path: Path) -> None:
    """With a byte order mark, with names in the other Unicode form, and in Latin-1."""
    composed, decomposed = "Gl\u00f6ckchen.wav", "Glo\u0308ckchen.wav"
    audio(tmp_path / decomposed)
    line = json.dumps({"file": composed, "caption": "bell"}, ensure_ascii=False)
    path = tmp_path / "m.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + line.encode() + b"\n" + line.encode("latin-1") + b"\n")
    good, bad = read_listed(path)
    assert good.record is not None
    assert good.record.file == decomposed
    assert (bad.position, bad.record) == (2, None)
    assert bad.reason == "byte 0xf6 in column 13 is not UTF-8; save the file as UTF-8"
    path.write_text(line, encoding="utf-16")
    with pytest.raises(ValueError, match=r"m.jsonl: is UTF-16"):
        list(read_listed(path))
