"""Commands whose work other processes do, some of which are killed."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import msgspec
import numpy as np
import pytest
import soundfile

from stable_audio_open.curation.catalogue.decisions import read_decisions
from stable_audio_open.curation.catalogue.parquet import read_catalogue, write_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]

MAIN = "import sys; from stable_audio_open.cli.main import main; sys.exit(main())"
FILES = 300
PROCESSES = ("--engine", "processes", "--workers", 2)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    """High and low fidelity, silence, a damaged file and a copy."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal((6 * 48000, 2))
    for name, loud in {"a": 6, "b": 3, "c": 0}.items():
        gate = np.arange(len(noise))[:, None] < loud * 48000
        soundfile.write(folder / f"{name}.wav", noise * gate, 48000)
    soundfile.write(folder / "copy.flac", soundfile.read(folder / "a.wav")[0], 48000)
    (folder / "text.wav").write_text("this is not a recording")
    for name in ("a.wav", "b.wav", "c.wav", "copy.flac"):
        fields = {"title": name, "author": "A", "licence": "CC0"}
        (folder / name).with_suffix(".json").write_text(json.dumps(fields))
    return folder


@pytest.mark.slow
def test_processes_say_what_one_says(run: Run, sounds: Path, loudness_panns: Path) -> None:
    told, records, decisions, chunks = [], [], [], []
    tagger = ("--tagger", f"panns:{loudness_panns}", "--seconds", 4)
    form = ("--form", "manifest", "--chunks", "--allow-unlicensed")
    for number, engine in enumerate([(), PROCESSES]):
        folder = Path(f"run{number}")
        catalogue, built = folder / "catalogue", folder / "set"
        shown = ""
        for command in (
            ("ingest", "folder", sounds, "--output", catalogue),
            ("music", catalogue, "--audio", sounds, *tagger),
            ("duplicates", catalogue, "--audio", sounds),
            ("build", catalogue, "--audio", sounds, "--output", built, *form),
        ):
            result = run("curate", *command, *engine)
            assert result.returncode == 0, result.stderr
            shown += result.stdout + result.stderr
        told.append(shown.replace(folder.name, "run"))
        records.append(list(read_catalogue(catalogue)))
        decisions.append(
            [msgspec.structs.replace(decision, at="") for decision in read_decisions(catalogue)]
        )
        chunks.append((built / "chunks.jsonl").read_bytes())
    for one, other in (told, records, decisions, chunks):
        assert one == other
    assert len(records[0]) == 4
    assert {d.verdict for d in decisions[0]} == {"keep", "review", "drop"}


@pytest.fixture
def many(tmp_path: Path) -> tuple[Path, list[str]]:
    """A catalogue of many short recordings, half of them copies, and the command to find these."""
    generator = np.random.default_rng(0)
    (tmp_path / "sounds").mkdir()
    names = [f"{number:04d}.wav" for number in range(FILES)]
    for first, second in zip(names[::2], names[1::2], strict=True):
        noise = 0.1 * generator.standard_normal((20_000, 2))
        for name in (first, second):
            soundfile.write(tmp_path / "sounds" / name, noise, 16000)
    catalogue = tmp_path / "catalogue"
    write_catalogue(catalogue, [CatalogueRecord(id=name, file=name) for name in names])
    words = ["curate", "duplicates", str(catalogue), "--audio", str(tmp_path / "sounds")]
    return catalogue, [sys.executable, "-c", MAIN, *words, *map(str, PROCESSES)]


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def hashed(catalogue: Path) -> list[str]:
    """The files of complete lines."""
    path = catalogue / "duplicates" / "hashes.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line)["file"] for line in lines if line]


def wait_for_hashes(process: subprocess.Popen[str], catalogue: Path, count: int) -> None:
    while len(hashed(catalogue)) < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.002)
    assert len(hashed(catalogue)) < FILES, "too late to kill anything"


def workers(process: subprocess.Popen[str]) -> list[int]:
    """Processes that work for another, without multiprocessing's own tracker."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def runs(process: int) -> bool:
    """Neither gone nor only waiting to be forgotten."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def all_is_there_once(catalogue: Path) -> None:
    assert sorted(hashed(catalogue)) == [f"{number:04d}.wav" for number in range(FILES)]
    dropped = [decision.id for decision in read_decisions(catalogue)]
    assert len(dropped) == len(set(dropped)) == FILES // 2


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.mark.slow
@linux
def test_a_killed_worker_changes_nothing(many: tuple[Path, list[str]]) -> None:
    catalogue, command = many
    process = start(command)
    wait_for_hashes(process, catalogue, 20)
    os.kill(workers(process)[0], signal.SIGKILL)
    shown, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert shown == f"{FILES} recordings: {FILES // 2} exact copies dropped\n"
    all_is_there_once(catalogue)


@pytest.mark.slow
@linux
def test_a_killed_command_goes_on(many: tuple[Path, list[str]]) -> None:
    catalogue, command = many
    process = start(command)
    wait_for_hashes(process, catalogue, 40)
    left = workers(process)
    assert len(left) == 2
    process.kill()
    process.communicate()  # ends when nobody holds its pipes any more, workers included
    while any(runs(worker) for worker in left):
        time.sleep(0.002)
    before = hashed(catalogue)
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout == f"{FILES} recordings: {FILES // 2} exact copies dropped\n"
    assert hashed(catalogue)[: len(before)] == before
    all_is_there_once(catalogue)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--workers", 2], "--workers needs --engine processes or --engine ray"),
        ([*PROCESSES, "--address", "auto"], "--address needs --engine ray"),
        (["--gpus-per-worker", 1], "--gpus-per-worker needs --engine ray"),
    ],
)
def test_options_of_another_engine(
    refuse: Refuse, tmp_path: Path, options: list[object], message: str
) -> None:
    write_catalogue(tmp_path / "catalogue", [CatalogueRecord(id="a", file="a.wav")])
    command = ("curate", "duplicates", tmp_path / "catalogue", "--audio", ".")
    refuse(*command, *options, code=2, message=message)


def test_metadata_needs_no_engine(refuse: Refuse, tmp_path: Path) -> None:
    refuse(
        *("curate", "ingest", "freesound", ".", "--output", "catalogue", *PROCESSES),
        code=2,
        message="--engine processes is for folder; freesound reads no audio",
    )
