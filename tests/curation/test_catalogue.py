import re
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from stable_audio_open.curation.catalogue.parquet import read_catalogue, schema, write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord

FULL = CatalogueRecord(
    id="freesound:12",
    title="Kick \U0001f941",
    description="two\nlines",
    caption="a deep kick",
    tags=("kick", "drum machine"),
    genres=("Electronic", "House"),
    album="b",
    artist="c",
    year=1999,
    licence="http://creativecommons.org/publicdomain/zero/1.0/",
    author="d",
    page_url="https://example.org/12",
    file="a/kick.wav",
    duration=1.25,
    sample_rate=44100,
    channels=2,
)


def records(count: int) -> list[CatalogueRecord]:
    return [FULL, *(CatalogueRecord(id=f"fma:{n}") for n in range(count - 1))]


def test_round_trip_in_parts(tmp_path: Path) -> None:
    assert write_catalogue(tmp_path, iter(records(7)), part=3) == 7
    assert list(read_catalogue(tmp_path)) == records(7)
    assert FULL.catalogue == "freesound"
    names = sorted(path.name for path in (tmp_path / "records").iterdir())
    assert names == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert pq.read_schema(tmp_path / "records" / names[0]) == schema()


def test_a_shorter_catalogue_leaves_nothing_of_the_longer_one(tmp_path: Path) -> None:
    write_catalogue(tmp_path, records(7), part=3)
    write_catalogue(tmp_path, records(2), part=3)
    assert list(read_catalogue(tmp_path)) == records(2)


def test_a_catalogue_from_before_there_were_captions(tmp_path: Path) -> None:
    write_catalogue(tmp_path, records(2))
    part = tmp_path / "records" / "part-00000.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["caption"]), part)
    first, second = records(2)
    before = msgspec.structs.replace(first, caption=None)
    assert list(read_catalogue(tmp_path)) == [before, second]


def test_no_catalogue_and_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path))}: holds no catalogue"):
        list(read_catalogue(tmp_path))
    write_catalogue(tmp_path, records(3))
    part = tmp_path / "records" / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"part-00000\.parquet: not a part of a catalogue \("):
        list(read_catalogue(tmp_path))
