import os
from pathlib import Path

import pytest

from stable_audio_open.evaluation.generations.sets import SetFile
from stable_audio_open.evaluation.generations.sources import follow_sources


def test_files_of_other_recordings_are_removed(tmp_path: Path):
    sources = {name: tmp_path / f"{name}.wav" for name in "abcd"}
    for path in sources.values():
        path.write_bytes(b"sound")
    folder = tmp_path / "made"
    folder.mkdir()
    items = [SetFile(id=name, file=f"{name}.flac", clip=name) for name in "abcd"]
    follow_sources(folder, items[:3], sources)
    for item in items:
        (folder / item.file).touch()
    follow_sources(folder, items[:2], sources)
    assert len(list(folder.glob("*.flac"))) == 4
    sources["a"].write_bytes(b"another")
    sources["b"].rename(tmp_path / "other.wav")
    os.utime(sources["c"], ns=(0, 0))
    sources["b"] = tmp_path / "other.wav"
    follow_sources(folder, items, sources)
    # That of d came from nobody knows where.
    assert list(folder.glob("*.flac")) == []
    (folder / "sources.json").write_text("[]")
    with pytest.raises(ValueError, match=r"not a record of sources \(.*\); delete the folder to"):
        follow_sources(folder, items, sources)
