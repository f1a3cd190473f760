import multiprocessing
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from stable_audio_open.engine.engine import Engine, Serial, Stage
from stable_audio_open.engine.processes import ATTEMPTS, SeveralProcesses
from stable_audio_open.engine.progress import Shown


def begun(folder: Path) -> dict[int, int]:
    """How often work on each number began."""
    return {
        int(path.name.removeprefix("number-")): len(path.read_text().splitlines())
        for path in folder.glob("number-*")
    }


@pytest.mark.parametrize(
    "engine",
    [
        Serial(),
        Shown(Serial()),
        SeveralProcesses(1),
        pytest.param(SeveralProcesses(3), marks=pytest.mark.slow),
    ],
)
def test_each_result_once_and_in_order(stages: ModuleType, tmp_path: Path, engine: Engine) -> None:
    numbers = list(range(50))
    results = list(engine.map(Stage("squares", partial(stages.noting, tmp_path)), numbers))
    assert results == [number * number for number in numbers]
    assert begun(tmp_path) == dict.fromkeys(numbers, 1)
    workers = {path.read_text().strip() for path in tmp_path.glob("number-*")}
    # Made once in each worker, and nowhere else.
    assert {path.name.removeprefix("made-") for path in tmp_path.glob("made-*")} == workers
    assert list(engine.map(Stage("none", stages.unmade), [])) == []


@pytest.mark.slow
def test_order_does_not_depend_on_speed(stages: ModuleType) -> None:
    stage = Stage("late", partial(stages.late_first, 0.1))
    assert list(SeveralProcesses(4).map(stage, list(range(16)))) == list(range(16))


@pytest.mark.slow
def test_a_killed_worker_loses_and_doubles_nothing(stages: ModuleType, tmp_path: Path) -> None:
    stage = Stage("squares", partial(stages.killed_once, tmp_path, 20))
    results = list(SeveralProcesses(2).map(stage, list(range(40))))
    assert (tmp_path / "killed").exists()
    assert results == [number * number for number in range(40)]
    counts = begun(tmp_path)
    assert set(counts) == set(range(40))
    assert counts[20] == 2


@pytest.mark.slow
def test_an_item_that_kills_every_worker(stages: ModuleType) -> None:
    results = SeveralProcesses(1).map(
        Stage("fatal", partial(stages.killed_always, 2)), [0, 1, 2, 3]
    )
    assert [next(results) for _ in range(2)] == [0, 1]
    with pytest.raises(ChildProcessError, match=f"^fatal: workers were killed {ATTEMPTS} times"):
        next(results)


@pytest.mark.parametrize(
    "engine", [Serial(), pytest.param(SeveralProcesses(2), marks=pytest.mark.slow)]
)
def test_an_error_comes_in_its_place(stages: ModuleType, engine: Engine) -> None:
    results = engine.map(Stage("refusing", partial(stages.refusing, 3)), list(range(9)))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3 is refused"):
        next(results)
    with pytest.raises(ValueError, match="the weights are missing"):
        list(engine.map(Stage("unmade", stages.unmade), [1]))
    assert multiprocessing.active_children() == []


@pytest.mark.slow
def test_who_stops_early_leaves_no_process(stages: ModuleType, tmp_path: Path) -> None:
    results = SeveralProcesses(2).map(
        Stage("squares", partial(stages.noting, tmp_path)), list(range(10_000))
    )
    assert next(results) == 0
    results.close()
    assert multiprocessing.active_children() == []
    assert len(begun(tmp_path)) < 100


@pytest.mark.slow
def test_a_worker_has_one_thread(stages: ModuleType) -> None:
    assert list(SeveralProcesses(2).map(Stage("threads", stages.threads), [1, 2, 3])) == [1, 1, 1]


def test_no_worker() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        SeveralProcesses(0)
