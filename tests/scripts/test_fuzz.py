"""The fuzzing harness: what it calls a fault, and some cases of each kind."""

import importlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

SCRIPTS = Path(__file__).parents[2] / "scripts"
KINDS = ("configurations", "checkpoints", "recordings", "archives")
Target = Callable[[Path], None]


@pytest.fixture(autouse=True)
def _scripts_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def read_nothing(folder: Path) -> None:
    """Accepts whatever it is."""


def raise_key_error(folder: Path) -> None:
    {}["missing"]


def raise_wrapped_lines(folder: Path) -> None:
    raise ValueError(f"{folder}/file: one line\nand another")


def raise_without_name(folder: Path) -> None:
    int("x")


def raise_own_line(folder: Path) -> None:
    raise ValueError(f"{folder}/file: is damaged; copy it again")


def leave(folder: Path) -> None:
    sys.exit(3)


def loop(folder: Path) -> None:
    while True:
        pass


def wait(folder: Path) -> None:
    time.sleep(600)


def allocate(folder: Path) -> None:
    bytearray(1 << 40)


def allocate_and_excuse(folder: Path) -> None:
    try:
        torch.empty(1 << 40, dtype=torch.int8)
    except RuntimeError as error:
        raise ValueError(f"{folder}/file: is damaged") from error


def kill_itself(folder: Path) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def end_itself(folder: Path) -> None:
    os._exit(0)


def write_much(folder: Path) -> None:
    (folder / "file").write_bytes(bytes(2 << 20))


def write_beside(folder: Path) -> None:
    (folder.parent / "beside").write_text("x")


def write_by_a_link(folder: Path) -> None:
    (folder / "link").symlink_to(folder.parent)
    (folder / "link" / "beside").write_text("x")


def write_and_say_nothing(folder: Path) -> None:
    try:
        write_beside(folder)
    except OSError as error:
        raise ValueError(f"{folder}/file: is damaged") from error


def start_a_program(folder: Path) -> None:
    subprocess.run(["true"], check=True)


def notice_a_wrong_load(folder: Path) -> None:
    raise importlib.import_module("fuzzing.child").SilentLoadError("holds NaN")


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("target", "answer", "sort", "told"),
    [
        (read_nothing, None, None, ""),
        (read_nothing, "read", None, ""),
        (read_nothing, "refused", "silent", "must be refused"),
        (raise_own_line, None, None, ""),
        (raise_own_line, "refused", None, ""),
        (raise_own_line, "read", "refused", "is damaged"),
        (raise_key_error, "refused", "traceback", "KeyError: 'missing' (/"),
        (raise_wrapped_lines, None, "traceback", "several lines"),
        (raise_without_name, None, "nameless", "invalid literal"),
        (leave, None, "traceback", "SystemExit: 3"),
        (loop, None, "limit", "computed for 1 s"),
        (wait, None, "limit", "ran for 1 s by the clock"),
        (allocate, None, "limit", "too much memory"),
        (allocate_and_excuse, None, "limit", "too much memory"),
        (write_much, None, "limit", "too large a file"),
        (kill_itself, None, "signal", "SIGSEGV"),
        (end_itself, None, "signal", "ended by itself with code 0"),
        (write_beside, None, "outside", "beside"),
        (write_by_a_link, None, "outside", "beside"),
        (write_and_say_nothing, None, "outside", "beside"),
        (start_a_program, None, "started", "true"),
        (notice_a_wrong_load, None, "silent", "holds NaN"),
    ],
)
def test_each_sort_of_fault_is_noticed(
    target: Target, answer: Any, sort: str | None, told: str, tmp_path: Path
) -> None:
    child = importlib.import_module("fuzzing.child")
    folder = tmp_path / "case"
    folder.mkdir()
    limits = child.Limits(
        memory=1 << 29, processor=1, wall=1.0 if target is wait else 600.0, file=1 << 20
    )
    case = child.Case(words="a mutation", target=target, answer=answer)
    answer, fault = child.run_case(case, folder, limits)
    if sort is None:
        assert fault is None
    else:
        assert fault is not None
        assert fault.sort == sort, fault
        assert told in fault.told
    assert not (tmp_path / "beside").exists()


@pytest.mark.usefixtures("one_thread")
def test_faults_are_told_with_the_command_that_repeats_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz, child = importlib.import_module("fuzz"), importlib.import_module("fuzzing.child")
    drawn: list[float] = []

    def draw(random: Random, folder: Path) -> Any:
        drawn.append(random.random())
        (folder / "input").write_text("x")
        target = raise_key_error if len(drawn) == 2 else read_nothing
        return child.Case(words="a bit flipped", target=target)

    order = fuzz.in_turns({"recordings": 3})
    assert fuzz.run({"recordings": draw}, order, tmp_path, seed=5) == 1
    told = capsys.readouterr().out.splitlines()
    assert len(told) == 2
    assert told[0].startswith("traceback: recordings: a bit flipped: KeyError: 'missing' (")
    assert told[0].endswith("python scripts/fuzz.py --seed 5 --only recordings:1")
    assert told[1] == "recordings: 3 cases (2 read, 1 refused), 1 traceback"
    assert drawn == [Random(f"5:recordings:{number}").random() for number in range(3)]


@pytest.mark.usefixtures("one_thread")
def test_what_changes_without_python_is_noticed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fuzz, child = importlib.import_module("fuzz"), importlib.import_module("fuzzing.child")
    safetensors = importlib.import_module("safetensors.torch")
    victim = tmp_path / "victim"

    def overwrite(folder: Path) -> None:
        safetensors.save_file({"a": torch.zeros(1)}, victim)

    def draw(random: Random, folder: Path) -> Any:
        return child.Case(words="a name", target=overwrite)

    assert fuzz.run({"archives": draw}, [("archives", 0)], tmp_path, seed=0) == 1
    assert "outside: archives: a name: changed /victim" in capsys.readouterr().out


def test_kinds_take_turns_and_time_ends_all(tmp_path: Path) -> None:
    fuzz = importlib.import_module("fuzz")
    order = fuzz.in_turns({"configurations": 4, "archives": 2})
    assert [kind[0] for kind, _ in order] == ["c", "a", "c", "c", "a", "c"]
    assert [number for kind, number in order if kind == "configurations"] == [0, 1, 2, 3]

    def draw(random: Random, folder: Path) -> Any:
        raise AssertionError("no case is begun")

    assert fuzz.run({"archives": draw}, order, tmp_path, seed=0, seconds=-1.0) == 0


def test_mutations_follow_from_the_numbers_alone() -> None:
    damage = importlib.import_module("fuzzing.damage").damage
    damage_json = importlib.import_module("fuzzing.json_damage").damage_json
    content = bytes(range(256)) * 8
    text = b'{"a": 1, "b": [true, "x", {"c": null}], "d": 0.5}'
    for seed in range(200):
        one, other = (damage(content, Random(seed)) for _ in range(2))
        assert one == other
        assert one.content != content
        assert damage_json(text, Random(seed)) == damage_json(text, Random(seed))
    sorts = {damage_json(text, Random(seed)).sort for seed in range(400)}
    assert sorts == {
        *("value", "type", "constant", "twice", "extra", "name", "dropped", "list", "deep")
    }


@pytest.mark.slow
def test_some_dozens_of_each_kind(tmp_path: Path) -> None:
    """They end without a fault, and leave nothing behind."""
    counts = [argument for kind in KINDS for argument in (f"--{kind}", "24")]
    done = run(*counts, "--seed", "1", scratch=tmp_path)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split(":")[0] for line in lines[-4:]] == [*KINDS]
    for line in lines[-4:]:
        assert re.search(r": 24 cases \(\d+ read, \d+ refused\), no fault$", line)
    assert not list(tmp_path.iterdir())


def run(*arguments: str, scratch: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPTS / "fuzz.py", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TMPDIR": str(scratch)},
    )


def test_wrong_kinds_are_told(tmp_path: Path) -> None:
    done = run("--only", "songs:1", scratch=Path(tempfile.gettempdir()))
    assert done.returncode == 2
    assert "allowed: one of configurations, checkpoints, recordings, archives" in done.stderr
