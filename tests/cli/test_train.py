import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from stable_audio_open.files.lock import locked_folder
from stable_audio_open.training.tasks.autoencoder import AutoencoderTraining

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(recordings: Path, two_steps: Path) -> Path:
    """Two steps of an autoencoder on one recording."""
    Path("manifest.jsonl").write_text('{"file": "good.wav", "caption": "noise"}\n')
    return two_steps


@pytest.fixture
def empty_folder(run: Run) -> None:
    """`run` has gone to an empty folder."""


@pytest.mark.slow
@pytest.mark.usefixtures("empty_folder")
def test_checkpoint_can_be_used_and_exported(run: Run, config: Path):
    result = run("train", "--config", config, "training.trainer.name=first")
    checkpoint = "runs/first/checkpoints/last.ckpt"
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == f"last checkpoint: {checkpoint}"
    assert run("export", checkpoint, "--output", "trained").returncode == 0
    for model in (checkpoint, "trained"):
        result = run(
            "reconstruct", "good.wav", "--model", model, "--overwrite", "--output", "x.wav"
        )
        assert result.returncode == 0, result.stderr
    again = run("train", "--config", config, "training.trainer.name=first", "--resume", "none")
    assert again.returncode == 2
    assert again.stderr.startswith(f"stable-audio-open: {checkpoint} exists")
    assert again.stderr.count("\n") == 1


@pytest.fixture
def signals() -> Iterator[None]:
    """Lightning ignores Ctrl-C from the first one on."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("empty_folder", "signals")
def test_ctrl_c(run: Run, config: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(AutoencoderTraining, "training_step", interrupt)
    result = run("train", "--config", config)
    assert result.returncode == 130
    assert result.stderr.splitlines()[-1] == "stable-audio-open: interrupted"
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("empty_folder")
def test_more_gpus_than_there_are(run: Run, config: Path):
    overrides = ("training.trainer.accelerator=gpu", "training.trainer.devices=65536")
    result = run("train", "--config", config, *overrides)
    assert (result.returncode, result.stdout) == (2, "")
    assert re.search(r"is gpu, of which 65536 must be here, and PyTorch finds \d+; ", result.stderr)
    assert result.stderr.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.usefixtures("empty_folder")
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.batchsize=4", 'unknown field "batchsize"'),
        ("training.batch_size=four", '$.training.batch_size: found "four"; allowed: an integer'),
        (
            "training.batch_size=0",
            "$.training.batch_size: found 0; allowed: an integer >= 1 and <= 65536",
        ),
        ("training.trainer.accelerator=tpu", '$.training.trainer.accelerator: found "tpu"'),
        ("batch_size", "found no equals sign"),
        ("training=null", "`training` is missing"),
    ],
)
def test_wrong_override(run: Run, config: Path, override: str, message: str):
    result = run("train", "--config", config, override)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.startswith("stable-audio-open: ")
    assert result.stderr.count("\n") == 1
    assert not Path("runs").exists()


@pytest.mark.usefixtures("empty_folder")
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "run.json: invalid JSON at line 1, column 1"),
        ('{"type": "autoencoderr"}', 'run.json: $.type: found "autoencoderr"'),
        ('{"type": "autoencoder", "nmae": "x"}', 'run.json: $: unknown field "nmae"'),
        ("[]", "run.json: $: found"),
    ],
)
def test_wrong_file(run: Run, text: str, message: str):
    Path("run.json").write_text(text)
    result = run("train", "--config", "run.json")
    assert result.returncode == 2
    assert result.stderr.startswith(f"stable-audio-open: {message}")
    assert result.stderr.count("\n") == 1


def test_missing_file(refuse: Refuse):
    refuse("train", "--config", "run.json", code=2, message="run.json: no such file")


@pytest.mark.slow
@pytest.mark.usefixtures("empty_folder")
def test_estimate_starts_nothing(run: Run, config: Path):
    before = sorted(Path().rglob("*"))
    result = run("train", "--estimate", "--config", config, "training.trainer.accelerator=auto")
    assert (result.returncode, result.stderr) == (0, "")
    for words in ("weights, trained", "offloaded to the CPU, GiB", "total", "a 24 GB card"):
        assert words in result.stdout
    assert sorted(Path().rglob("*")) == before
    assert "GPU" not in run("train", "--estimate", "--config", config).stdout


@pytest.mark.usefixtures("empty_folder")
def test_missing_checkpoint(run: Run, config: Path):
    result = run("train", "--config", config, "--resume", "gone.ckpt")
    assert (result.returncode, result.stderr) == (
        2,
        "stable-audio-open: gone.ckpt: there is no such checkpoint to resume from\n",
    )


@pytest.mark.usefixtures("empty_folder")
def test_damaged_recording(run: Run, config: Path):
    Path("manifest.jsonl").write_text('{"file": "cut.wav", "caption": "noise"}\n')
    result = run("train", "--config", config)
    assert result.returncode == 1
    assert "cut.wav: the file is truncated" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_script_is_the_command(tmp_path: Path):
    script = [sys.executable, str(ROOT / "scripts" / "train.py"), "--config", "run.json"]
    result = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (
        2,
        "stable-audio-open: run.json: no such file\n",
    )


@pytest.mark.usefixtures("recordings")
@pytest.mark.parametrize(
    ("override", "field", "name"),
    [
        ("training.trainer.name=../../victim", "training.trainer.name", "../../victim"),
        ("training.trainer.name=/tmp/victim", "training.trainer.name", "/tmp/victim"),
        ("training.trainer.name=.", "training.trainer.name", "."),
        ("name=../victim", "name", "../victim"),
    ],
)
def test_a_name_that_leads_out_of_the_output(
    refuse: Refuse, config: Path, override: str, field: str, name: str
):
    refuse(
        "train",
        "--config",
        config,
        override,
        code=2,
        message=f"{name if field == 'name' else 'small-autoencoder'}: `{field}` is {name!r}, a "
        "path that leads out of `training.trainer.output` ('runs'); give `training.trainer.name` "
        "a name, or a path inside of it",
    )


@pytest.mark.usefixtures("recordings")
def test_a_second_run_in_the_same_folder(refuse: Refuse, config: Path):
    folder = Path("runs/twice")
    with locked_folder(folder, remedy="wait"):
        refuse(
            "train",
            "--config",
            config,
            "training.trainer.name=twice",
            code=2,
            message=f"{folder}: another process works in this folder; wait until it ends, or "
            "choose another training.trainer.name",
        )


@pytest.mark.slow
@pytest.mark.usefixtures("recordings")
def test_a_name_of_several_folders_is_inside(run: Run, config: Path):
    result = run("train", "--config", config, "training.trainer.name=group/first")
    assert result.returncode == 0, result.stderr
    assert Path("runs/group/first/checkpoints/last.ckpt").is_file()
