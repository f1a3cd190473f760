import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from stable_audio_open.cli.main import main
from stable_audio_open.engine.engine import Stage
from stable_audio_open.engine.ray_data import RayData

ray = pytest.importorskip("ray", reason="needs Ray: pip install '.[ray]'")
pytest.importorskip("ray.data", reason="needs Ray's data: pip install '.[ray]'")

# Ray leaves sockets and files to the collector, and uses what pandas and pyarrow deprecate.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A cluster of two nodes on this machine, the second with two GPUs by its own word."""
    from ray.cluster_utils import Cluster

    kept = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(Path(__file__).parent), kept)))
    memory = {"object_store_memory": 100 * 2**20}
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, **memory})
    try:
        nodes.add_node(num_cpus=2, num_gpus=2, **memory)
        nodes.wait_for_nodes()
        yield nodes.address
    finally:
        ray.shutdown()
        nodes.shutdown()
        if kept is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = kept


def begun(folder: Path) -> dict[int, int]:
    return {
        int(path.name.removeprefix("number-")): len(path.read_text().splitlines())
        for path in folder.glob("number-*")
    }


@pytest.mark.parametrize("model", [False, True])
def test_each_result_once_and_in_order(
    cluster: str, stages: ModuleType, tmp_path: Path, model: bool
) -> None:
    numbers = list(range(200))
    stage = Stage("squares", partial(stages.noting, tmp_path), model=model)
    engine = RayData(cluster, workers=2)
    assert list(engine.map(stage, numbers)) == [number * number for number in numbers]
    assert begun(tmp_path) == dict.fromkeys(numbers, 1)
    if model:
        assert len(list(tmp_path.glob("made-*"))) <= 2
    assert list(engine.map(Stage("none", stages.unmade, model=model), [])) == []


def test_both_nodes_work_at_relative_paths(
    cluster: str, stages: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = RayData(cluster)
    assert set(engine.map(Stage("where", stages.where), [1, 2])) == {str(tmp_path)}
    assert len(set(engine.map(Stage("node", stages.node), list(range(32))))) == 2


def test_a_model_gets_a_gpu(cluster: str, stages: ModuleType) -> None:
    engine = RayData(cluster, gpus=1)
    with_gpu = [node["NodeID"] for node in ray.nodes() if node["Resources"].get("GPU")]
    assert set(engine.map(Stage("node", stages.node, model=True), list(range(8)))) == {*with_gpu}
    with pytest.raises(ValueError, match="has 4 CPUs and 2 GPUs; a worker needs 1 CPU and 3 GPUs"):
        next(RayData(cluster, gpus=3).map(Stage("node", stages.node, model=True), [1]))


@pytest.mark.parametrize("model", [False, True])
def test_a_killed_worker_loses_and_doubles_nothing(
    cluster: str, stages: ModuleType, tmp_path: Path, model: bool
) -> None:
    stage = Stage("squares", partial(stages.killed_once, tmp_path, 20), model=model)
    results = list(RayData(cluster, workers=2).map(stage, list(range(40))))
    assert (tmp_path / "killed").exists()
    assert results == [number * number for number in range(40)]
    assert begun(tmp_path)[20] == 2


def test_an_error_comes_in_its_place(cluster: str, stages: ModuleType) -> None:
    engine = RayData(cluster, workers=2)
    results = engine.map(Stage("refusing", partial(stages.refusing, 3)), list(range(9)))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="3 is refused"):
        next(results)
    with pytest.raises(ValueError, match="the weights are missing"):
        list(engine.map(Stage("unmade", stages.unmade, model=True), [1]))


def test_an_item_that_kills_every_worker(cluster: str, stages: ModuleType) -> None:
    results = RayData(cluster).map(Stage("fatal", partial(stages.killed_always, 2)), [0, 1, 2, 3])
    with pytest.raises(ChildProcessError, match=r"^fatal: the cluster gave up after 3 retries"):
        list(results)


def test_numbers_out_of_range() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        RayData(workers=0)
    with pytest.raises(ValueError, match=r"GPUs of a worker must be 0 or more, got -1"):
        RayData(gpus=-1.0)


def test_a_command_on_the_cluster(
    cluster: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sounds").mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal((5, 8000, 2))
    for number in range(10):
        soundfile.write(f"sounds/{number}.wav", noise[number // 2], 16000)
    Path("sounds/text.wav").write_text("this is not a recording")
    there = ["--engine", "ray", "--address", cluster]
    told = []
    for name, engine in (("one", []), ("two", there)):
        assert main(["curate", "ingest", "folder", "sounds", "--output", name, *engine]) == 0
        assert main(["curate", "duplicates", name, "--audio", "sounds", *engine]) == 0
        told.append(capsys.readouterr().out.replace(name, "NAME"))
    assert told[0] == told[1]
    assert "1 rejects" in told[0]
    assert "10 recordings: 5 exact copies dropped" in told[0]
    lists = [Path(name, "duplicates", "hashes.jsonl").read_bytes() for name in ("one", "two")]
    assert lists[0] == lists[1]


def test_nobody_at_the_address() -> None:
    ray.shutdown()
    with pytest.raises(ConnectionError, match=r"^no Ray cluster answers at 127\.0\.0\.1:1 \("):
        RayData("127.0.0.1:1")
