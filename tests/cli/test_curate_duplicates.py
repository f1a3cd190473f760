import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from stable_audio_open.audio_models.clap.checkpoint import DOWNLOAD
from stable_audio_open.audio_models.registry import EMBEDDERS
from stable_audio_open.curation.catalogue.decisions import read_decisions
from stable_audio_open.curation.catalogue.parquet import write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


@pytest.fixture
def catalogue(recordings: Path) -> Path:
    shutil.copy("good.wav", "copy.wav")
    names = ("good.wav", "copy.wav", "mono_8k.wav", "cut.wav")
    write_catalogue(Path("catalogue"), [CatalogueRecord(id=name, file=name) for name in names])
    return Path("catalogue")


@pytest.fixture
def empty_folder(run: Run) -> None:
    """`run` has gone to an empty folder."""


@pytest.mark.usefixtures("empty_folder")
def test_exact_copies_are_dropped(run: Run, catalogue: Path):
    result = run("curate", "duplicates", catalogue, "--audio", ".")
    assert (result.returncode, result.stdout) == (
        0,
        "4 recordings: 1 exact copies dropped, 1 unreadable\n",
    )
    assert "recording left out: cut.wav: the file is truncated" in result.stderr
    (decision,) = read_decisions(catalogue)
    assert (decision.id, decision.reason) == ("good.wav", "exact copy of copy.wav")


@pytest.mark.usefixtures("empty_folder")
def test_mistakes(refuse: Refuse, catalogue: Path, monkeypatch: pytest.MonkeyPatch):
    command = ("curate", "duplicates", catalogue, "--audio", ".")
    message = "--threshold and --pairs need an --embedder, such as clap:FOLDER"
    refuse(*command, "--threshold", 0.9, code=2, message=message)
    message = "--embedder needs either --threshold X or --pairs CSV to choose one by"
    refuse(*command, "--embedder", "clap:x", code=2, message=message)
    message = f"no embedder 'x'; allowed: {EMBEDDERS.allowed}"
    refuse(*command, "--embedder", "x", "--threshold", 0.9, code=2, message=message)
    refuse(
        *command, "--embedder", "clap:x", "--threshold", 0.9, code=2,
        message=f"x: no such folder or file; {DOWNLOAD}",
    )  # fmt: skip
    monkeypatch.setenv("PATH", "")
    refuse(
        *command, "--chromaprint", code=2,
        message="the command fpcalc is not there; install it (Debian: libchromaprint-tools), or "
        "search without Chromaprint",
    )  # fmt: skip
