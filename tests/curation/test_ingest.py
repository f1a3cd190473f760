import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stable_audio_open.curation.catalogue.ingest import Reject, SourceRow, ingest, with_files
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.sources.fma import Genre, genre_names, read_fma
from stable_audio_open.curation.sources.freesound_json import read_freesound
from stable_audio_open.files.lock import FolderInUseError

SOUND = {
    "id": 4832,
    "url": "https://freesound.org/people/Zajo/sounds/4832/",
    "name": "kick \U0001f941\n.wav",
    "tags": ["kick", "drum machine"],
    "description": 'two\nlines, "quoted"',
    "geotag": None,
    "created": "2005-08-01T12:00:00",
    "license": "http://creativecommons.org/publicdomain/zero/1.0/",
    "type": "wav",
    "channels": 2,
    "filesize": 1000,
    "bitrate": 1411,
    "bitdepth": 16,
    "duration": 1.25,
    "samplerate": 44100.0,
    "username": "Zajo",
    "pack": None,
    "previews": {"preview-hq-mp3": "https://example.org/p.mp3"},
    "avg_rating": 4.5,
}
RECORD = CatalogueRecord(
    id="freesound:4832",
    title=SOUND["name"],
    description=SOUND["description"],
    tags=("kick", "drum machine"),
    licence=SOUND["license"],
    author="Zajo",
    page_url=SOUND["url"],
    duration=1.25,
    sample_rate=44100,
    channels=2,
)


def rejects(folder: Path) -> list[Reject]:
    lines = (folder / "rejects.jsonl").read_bytes().splitlines()
    return [msgspec.json.decode(line, type=Reject) for line in lines]


def freesound(path: Path, *lines: str | bytes) -> list[SourceRow]:
    path.write_bytes(b"\n".join(x if isinstance(x, bytes) else x.encode() for x in lines))
    return list(read_freesound(path))


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "document",
    [
        {"count": 1, "next": None, "previous": None, "results": [SOUND]},
        [SOUND],
        SOUND,
    ],
)
def test_documents_of_the_api(tmp_path: Path, document: Any, indent: int | None) -> None:
    (row,) = freesound(tmp_path / "a.json", json.dumps(document, indent=indent))
    assert row.record == RECORD
    assert row.position == 1
    assert json.loads(row.raw) == SOUND


def test_fsd50k_has_no_url_and_calls_things_otherwise(tmp_path: Path) -> None:
    clip = {
        "title": "t",
        "description": "d",
        "tags": ["a"],
        "license": "http://creativecommons.org/licenses/by/3.0/",
        "uploader": "u",
    }
    rows = freesound(tmp_path / "dev_clips_info.json", json.dumps({"64760": clip, "7": clip}))
    expected = CatalogueRecord(
        id="freesound:64760",
        title="t",
        description="d",
        tags=("a",),
        licence=clip["license"],
        author="u",
        page_url="https://freesound.org/s/64760/",
    )
    assert [row.record for row in rows] == [
        expected,
        msgspec.structs.replace(expected, id="freesound:7", page_url="https://freesound.org/s/7/"),
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_bad_lines_are_kept_with_the_reason(tmp_path: Path, name: str) -> None:
    good = json.dumps(SOUND)
    page = json.dumps({"count": 1, "results": [SOUND | {"id": 5}, {"id": None}]})
    lines = [
        '{"id": 1, "name": "cut',
        good,
        '{"id": 2, "tags": "kick"}',
        '{"id": "x2"}',
        '{"name": "no number"}',
        b'{"id": 3, "name": "\xff"}',
        '{"id": 4, "name": "\\ud800"}',
        "",
        good,
        '{"id": 6, "duration": -1}',
        '{"id": 7, "channels": 40000}',
        '{"id": 8, "samplerate": 1e300}',
        "[1]",
        page,
    ]
    rows = freesound(tmp_path / name, *lines)
    counts = ingest(rows, tmp_path / "c")
    bad = rejects(tmp_path / "c")
    assert (counts.records, counts.with_file, counts.rejects) == (2, 0, 12)
    assert list(read_catalogue(tmp_path / "c")) == [
        RECORD,
        msgspec.structs.replace(RECORD, id="freesound:5"),
    ]
    assert [reject.position for reject in bad] == [1, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 2]
    assert {reject.source for reject in bad} == {str(tmp_path / name)}
    assert bad[0].raw == lines[0]
    assert bad[1].reason == "Expected `array | null`, got `str` - at `$.tags`"
    assert bad[2].reason == "id is 'x2'; a sound of Freesound has a number"
    assert bad[3].reason == "id is None; a sound of Freesound has a number"
    assert bad[4].raw == '{"id": 3, "name": "\\xff"}'
    assert bad[6].reason == "the id 'freesound:4832' is there already"
    assert bad[6].raw == good
    assert bad[7].reason == "duration is -1.0 s; it must be finite and not negative"
    assert bad[8].reason == "channels is 40000; it must lie within 1..32767"
    assert bad[9].reason.startswith("sample_rate is 1")
    assert bad[11].raw == '{"id": null}'


def test_a_folder_of_pages_and_one_that_is_cut(tmp_path: Path) -> None:
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "page-00001.json").write_text(json.dumps({"results": [SOUND]}))
    (pages / "page-00002.json").write_text('{"results": [{"id"')
    (pages / "notes.txt").write_text("not read")
    counts = ingest(read_freesound(pages), tmp_path / "c")
    assert (counts.records, counts.rejects) == (1, 1)
    (bad,) = rejects(tmp_path / "c")
    assert bad.source == str(pages / "page-00002.json")
    assert bad.reason.startswith("not JSON: ")
    with pytest.raises(ValueError, match=r"holds no file \*\.json, \*\.jsonl, \*\.ndjson"):
        list(read_freesound(tmp_path / "c" / "records"))


def test_a_catalogue_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    def rows(*numbers: int) -> list[SourceRow]:
        return [
            SourceRow(source="s", position=n, raw="", record=CatalogueRecord(id=f"fma:{n}"))
            for n in numbers
        ]

    def failing() -> Iterator[SourceRow]:
        yield from rows(3)
        raise OSError("the disk is gone")

    ingest(rows(1, 2), tmp_path)
    (tmp_path / "decisions.jsonl").write_text("kept")
    with pytest.raises(ValueError, match="holds a catalogue; give another folder, or --replace"):
        ingest(rows(3), tmp_path)
    with pytest.raises(OSError, match="gone"):
        ingest(failing(), tmp_path, replace=True)
    assert [record.id for record in read_catalogue(tmp_path)] == ["fma:1", "fma:2"]
    ingest(rows(3), tmp_path, replace=True)
    assert [record.id for record in read_catalogue(tmp_path)] == ["fma:3"]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["decisions.jsonl", "records", "rejects.jsonl"]


@pytest.mark.parametrize("replace", [True, False])
def test_two_at_once_do_not_take_each_other_s_catalogue(tmp_path: Path, replace: bool) -> None:
    folder = tmp_path / "cat"

    def rows() -> Iterator[SourceRow]:
        with pytest.raises(FolderInUseError) as caught:
            ingest([], folder, replace=replace)
        assert str(caught.value) == (
            f"{folder}: another process works in this folder; wait until it ends, or give another "
            "folder"
        )
        yield SourceRow(source="s", position=1, raw="", record=CatalogueRecord(id="fma:1"))

    ingest(rows(), folder)
    assert [record.id for record in read_catalogue(folder)] == ["fma:1"]
    assert sorted(path.name for path in folder.iterdir()) == ["records", "rejects.jsonl"]


def test_what_is_odd_about_a_good_row_is_noted(tmp_path: Path) -> None:
    record = CatalogueRecord(id="folder:a.wav")
    odd = SourceRow(source="s", position=1, raw="a.wav", record=record, note="odd")
    counts = ingest([odd, odd], tmp_path)
    assert (counts.records, counts.rejects, counts.notes) == (1, 1, 1)
    note = msgspec.json.decode((tmp_path / "notes.jsonl").read_bytes(), type=Reject)
    assert note == Reject(source="s", position=1, reason="odd", raw="a.wav")
    ingest([msgspec.structs.replace(odd, note="")], tmp_path, replace=True)
    assert not (tmp_path / "notes.jsonl").exists()


COLUMNS = [
    ("album", "date_released"),
    ("album", "title"),
    ("artist", "bio"),
    ("artist", "name"),
    ("set", "split"),
    ("track", "date_recorded"),
    ("track", "duration"),
    ("track", "genre_top"),
    ("track", "genres"),
    ("track", "genres_all"),
    ("track", "information"),
    ("track", "license"),
    ("track", "tags"),
    ("track", "title"),
]
TRACK = {
    "album.date_released": "2009-01-05 00:00:00",
    "album.title": "AWOL - A Way Of Life",
    "artist.bio": "<p>one,\ntwo</p>" * 20_000,
    "artist.name": 'AW"OL',
    "set.split": "training",
    "track.date_recorded": "2008-11-26 00:00:00",
    "track.duration": "168",
    "track.genre_top": "Hip-Hop",
    "track.genres": "[100, 21]",
    "track.genres_all": "[21, 100]",
    "track.information": "",
    "track.license": "Attribution-NonCommercial-ShareAlike 3.0 International",
    "track.tags": "['rap', \"don't\"]",
    "track.title": "Food",
}
GENRES = (
    "genre_id,#tracks,parent,title,top_level\n"
    "21,3552,0,Hip-Hop,21\n100,5,21,Alternative Hip-Hop,21\n5,1,6,a,5\n6,1,5,b,5\n"
)


def fma(folder: Path, *tracks: list[str]) -> Path:
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["", *(upper for upper, _ in COLUMNS)])
    table.writerow(["", *(lower for _, lower in COLUMNS)])
    table.writerow(["track_id", *([""] * len(COLUMNS))])
    table.writerows(tracks)
    folder.mkdir(exist_ok=True)
    (folder / "tracks.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    (folder / "genres.csv").write_text(GENRES)
    return folder


def track(number: int | str, **changes: str) -> list[str]:
    cells = TRACK | {name.replace("__", "."): value for name, value in changes.items()}
    return [str(number), *(cells[f"{upper}.{lower}"] for upper, lower in COLUMNS)]


def test_a_track_of_fma(tmp_path: Path) -> None:
    source = fma(
        tmp_path / "fma", track(2), track(155066, track__genres="", album__date_released="")
    )
    first, second = (row.record for row in read_fma(source))
    assert first == CatalogueRecord(
        id="fma:2",
        title="Food",
        tags=("rap", "don't"),
        genres=("Hip-Hop", "Alternative Hip-Hop"),
        album="AWOL - A Way Of Life",
        artist='AW"OL',
        year=2009,
        licence="Attribution-NonCommercial-ShareAlike 3.0 International",
        author='AW"OL',
        file="000/000002.mp3",
        duration=168.0,
    )
    assert second is not None
    assert (second.year, second.genres, second.file) == (2008, (), "155/155066.mp3")
    assert [row.record for row in read_fma(source / "tracks.csv")] == [first, second]


def test_bad_tracks_are_kept_with_the_reason(tmp_path: Path) -> None:
    source = fma(
        tmp_path / "fma",
        track("x"),
        track(3, track__genres="[999]"),
        track(4, track__genres="__import__('os')"),
        track(5, track__tags="[1]"),
        track(6, track__tags="[" * 5000),
        track(7, album__date_released="soon"),
        track(8, track__duration="long"),
        track(9, track__genres="[5]"),
        track(10)[:5],
        track(11),
        track(11),
    )
    raw = (source / "tracks.csv").read_bytes()
    (source / "tracks.csv").write_bytes(raw + b"12,\xff" + b"," * 13 + b"\r\n")
    ingest(read_fma(source), tmp_path / "c")
    assert [record.id for record in read_catalogue(tmp_path / "c")] == ["fma:11"]
    bad = rejects(tmp_path / "c")
    assert [reject.reason.replace("[" * 5000, "[[")[:60] for reject in bad] == [
        "track_id is 'x'; it must be a number",
        "genre 999 is not in genres.csv",
        "track.genres is \"__import__('os')\"; it must be a Python list",
        "track.tags is '[1]'; it must be a list of str",
        "track.tags is '[['; it must be a Python list",
        "album.date_released is 'soon'; it must be a date like 2009-0",
        "track.duration is 'long'; it must be a number",
        "genre 5 contains itself in genres.csv",
        "5 cells; the header has 15",
        "the id 'fma:11' is there already",
        "not UTF-8",
    ]
    assert next(csv.reader(io.StringIO(bad[1].raw))) == track(3, track__genres="[999]")
    assert bad[-1].raw == "12,\\xff" + "," * 13


def test_a_genre_in_two_trees_comes_after_what_contains_it() -> None:
    genres = {1: Genre("one", 0), 2: Genre("two", 1), 3: Genre("three", 2), 4: Genre("four", 0)}
    assert genre_names([3, 4, 2], genres) == ("one", "four", "two", "three")
    assert genre_names([], genres) == ()


def test_another_csv_is_not_taken_for_tracks(tmp_path: Path) -> None:
    source = fma(tmp_path / "fma")
    (source / "tracks.csv").write_text(GENRES)
    with pytest.raises(ValueError, match=r"tracks\.csv: the header lacks album\.title, "):
        list(read_fma(source))
    fma(source)
    (source / "genres.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match=r"genres\.csv:2: not a row of genres \('genre_id'\)"):
        list(read_fma(source))


def test_header_rows_of_two_lengths_are_refused(tmp_path: Path) -> None:
    source = fma(tmp_path / "fma")
    first, rest = (source / "tracks.csv").read_text().split("\n", 1)
    (source / "tracks.csv").write_text(f"{first},extra\n{rest}")
    with pytest.raises(ValueError, match=r"tracks\.csv: the header rows have 16 and 15 cells"):
        list(read_fma(source))


def test_files_are_found_by_number(tmp_path: Path) -> None:
    rows = freesound(tmp_path / "a.jsonl", json.dumps(SOUND), '{"id": 5}', '{"id": "x"}')
    found = list(with_files(rows, {4832: "a/4832__Zajo__kick.wav"}))
    assert [row.record and row.record.file for row in found] == [
        "a/4832__Zajo__kick.wav",
        None,
        None,
    ]
    assert [bool(row.reason) for row in found] == [False, False, True]


def test_a_killed_one_of_the_same_process_number_is_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In containers every run has the same."""
    folder = tmp_path / "catalogue"
    code = f"""
import os, signal
from pathlib import Path
from stable_audio_open.curation.catalogue.ingest import ingest
os.getpid_ = os.getpid
os.getpid = lambda: 1
def rows():
    os.kill(os.getpid_(), signal.SIGKILL)
    yield
ingest(rows(), Path({str(folder)!r}))
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == -signal.SIGKILL
    [left] = folder.glob(".ingest-*")
    (folder / ".ingest-1").mkdir()  # as version 0.1.0 left them
    monkeypatch.setattr(os, "getpid", lambda: 1)
    row = SourceRow(source="s", position=1, raw="", record=CatalogueRecord(id="x:1"))
    assert ingest([row], folder).records == 1
    assert ingest([row], folder, replace=True).records == 1
    assert [record.id for record in read_catalogue(folder)] == ["x:1"]
    assert sorted(p.name for p in folder.iterdir()) == [".ingest-1", "records", "rejects.jsonl"]
    assert caplog.messages == [f"{left}: removed, it was left by a process that was killed"]
