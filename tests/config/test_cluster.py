"""The SLURM example: its options, against the configuration and Lightning's own checks."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from lightning_fabric.plugins.environments import SLURMEnvironment
from msgspec.structs import replace

from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.read import model_part, read_config

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "configs/cluster/a100_8x8.sbatch"
OPTIONS = dict(re.findall(r"^#SBATCH --([a-z-]+)=?(.*)$", SCRIPT.read_text(), flags=re.MULTILINE))


def config() -> DiffusionModelConfig:
    [name] = re.findall(r"\$\{CONFIG:-(.+)\}", SCRIPT.read_text())
    read = read_config(ROOT / name)
    assert isinstance(read, DiffusionModelConfig)
    return read


def test_the_script_is_bash() -> None:
    subprocess.run(["bash", "-n", str(SCRIPT)], check=True)


def test_the_cluster_trains_the_published_model_as_published() -> None:
    shipped, cluster = read_config(ROOT / "configs/stable_audio_open_1_0/diffusion.json"), config()
    assert model_part(cluster) == model_part(shipped)
    assert cluster.data == shipped.data
    assert cluster.training is not None
    assert shipped.training is not None
    assert replace(cluster.training, trainer=None) == replace(shipped.training, trainer=None)


def test_lightning_accepts_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """As SLURM tells them to the tasks."""
    training = config().training
    assert training is not None
    trainer = training.trainer
    assert trainer is not None
    assert trainer.devices == int(OPTIONS["gpus-per-node"]) == 8
    nodes, tasks = OPTIONS["nodes"], OPTIONS["ntasks-per-node"]
    assert int(nodes) * int(tasks) * training.batch_size == 256
    monkeypatch.setenv("SLURM_JOB_NAME", OPTIONS["job-name"])
    monkeypatch.setenv("SLURM_NNODES", nodes)
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", tasks)
    monkeypatch.setenv("SLURM_NTASKS", str(int(nodes) * int(tasks)))
    assert SLURMEnvironment.detect()
    environment = SLURMEnvironment()
    environment.validate_settings(num_devices=trainer.devices, num_nodes=trainer.nodes)
    assert environment.world_size() == 64
    assert "requeue" in OPTIONS
    assert OPTIONS["signal"] == "B:SIGUSR1@180"


SRUN = """#!/bin/bash
echo "$@" > command
trap 'sleep 0.2; echo saved > checkpoint; exit $CODE' USR1
echo > started
while true; do sleep 0.05; [ -e finished ] && exit 0; done
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder with commands of SLURM's names: a run that saves when told to, and a queue."""
    for name, text in (("srun", SRUN), ("scontrol", '#!/bin/bash\necho "$@" > queue\n')):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def start(machine: Path, **environment: str) -> subprocess.Popen[bytes]:
    path = f"{machine}{os.pathsep}{os.environ['PATH']}"
    settings = os.environ | {"PATH": path, "SLURM_JOB_ID": "7", "CODE": "0"} | environment
    process = subprocess.Popen(
        ["bash", str(SCRIPT), "training.batch_size=2"], cwd=machine, env=settings
    )
    while not (machine / "started").exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_job_that_is_told_to_end_saves_and_queues_itself(
    machine: Path, number: signal.Signals
) -> None:
    process = start(machine)
    words = (machine / "command").read_text().split()
    assert words[-5:] == [
        "python",
        "scripts/train.py",
        "--config",
        "configs/cluster/a100_8x8.json",
        "training.batch_size=2",
    ]
    process.send_signal(number)
    assert process.wait() == 0
    assert (machine / "checkpoint").exists()
    assert (machine / "queue").read_text() == "requeue 7\n"


def test_a_job_that_fails_to_save_does_not_queue_itself(machine: Path) -> None:
    process = start(machine, CODE="3")
    process.send_signal(signal.SIGUSR1)
    assert process.wait() == 3
    assert not (machine / "queue").exists()


def test_a_job_that_is_done_does_not_queue_itself(machine: Path) -> None:
    process = start(machine)
    (machine / "finished").write_text("")
    assert process.wait() == 0
    assert not (machine / "queue").exists()
