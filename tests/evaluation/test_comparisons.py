from pathlib import Path

import pytest

from stable_audio_open.evaluation.generations.sets import SetFile
from stable_audio_open.evaluation.protocols.comparisons import (
    FolderMetric,
    ProtocolComparison,
    compare,
    write_comparison,
)


@pytest.fixture
def comparison(tmp_path: Path) -> ProtocolComparison:
    """Two captions of one clip, and one whose clip has no reference."""
    made = tmp_path / "made"
    made.mkdir()
    items = [
        SetFile(id="1", file="1.flac", clip="a", prompt='rain, "heavy"'),
        SetFile(id="2", file="2.flac", clip="a", prompt="more rain"),
        SetFile(id="3", file="3.flac", clip="b", prompt="wind"),
    ]
    for item in items:
        (made / item.file).write_bytes(item.id.encode())
    (tmp_path / "a.wav").write_bytes(b"reference")
    folder = tmp_path / "comparison"
    (folder / "made").mkdir(parents=True)
    (folder / "made" / "old.flac").touch()
    return write_comparison(
        folder, items, made=made, references={"a": tmp_path / "a.wav"}, protocol="audiocaps"
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_each_folder_has_what_metrics_need(comparison: ProtocolComparison):
    assert contents(comparison.made) == {"1.flac": b"1", "2.flac": b"2", "3.flac": b"3"}
    assert contents(comparison.references) == {"a.wav": b"reference"}
    assert contents(comparison.pairs) == {"1.wav": b"reference", "2.wav": b"reference"}
    assert comparison.prompts.read_text().splitlines() == [
        "id,prompt",
        '1,"rain, ""heavy"""',
        "2,more rain",
        "3,wind",
    ]


def test_results_are_kept_by_subset_and_a_failure_leaves_none(
    comparison: ProtocolComparison, tmp_path: Path
):
    seen: list[ProtocolComparison] = []

    def measure(given: ProtocolComparison) -> bytes:
        seen.append(given)
        return b"{}"

    def fail(given: ProtocolComparison) -> bytes:
        raise ValueError("no weights")

    metrics = {"clap": FolderMetric(("clap_score",), measure)}
    (path,) = compare(comparison, metrics, folder=tmp_path, subset="no-speech").results
    assert path == tmp_path / "results/no-speech/clap.json"
    assert path.read_bytes() == b"{}"
    assert seen == [comparison]
    with pytest.raises(ValueError, match="no weights"):
        compare(
            comparison,
            {"clap": FolderMetric(("clap_score",), fail)},
            folder=tmp_path,
            subset="no-speech",
        )
    assert not path.exists()


def found(folder: Path, subset: str = "all") -> list[str]:
    return sorted(path.stem for path in (folder / "results" / subset).glob("*.json"))


def measured_by(name: str) -> dict[str, FolderMetric]:
    return {name: FolderMetric((name,), lambda given: b"{}")}


def test_results_of_the_same_files_stay(comparison: ProtocolComparison, tmp_path: Path):
    """As when one network after the other listens."""
    for name in ("frechet", "kl"):
        compare(comparison, measured_by(name), folder=tmp_path, subset="all")
    assert found(tmp_path) == ["frechet", "kl"]


@pytest.mark.parametrize("file", ["made/2.flac", "references/a.wav", "pairs/1.wav"])
def test_results_of_other_files_go(file: str, comparison: ProtocolComparison, tmp_path: Path):
    compare(comparison, measured_by("frechet"), folder=tmp_path, subset="all")
    path = tmp_path / "comparison" / file
    path.unlink()
    path.write_bytes(b"another")
    compare(comparison, measured_by("kl"), folder=tmp_path, subset="all")
    assert found(tmp_path) == ["kl"]


def test_results_of_more_files_go(comparison: ProtocolComparison, tmp_path: Path):
    compare(comparison, measured_by("frechet"), folder=tmp_path, subset="all")
    (comparison.made / "3.flac").unlink()
    compare(comparison, measured_by("kl"), folder=tmp_path, subset="all")
    assert found(tmp_path) == ["kl"]
