"""Signals that come while networks are compiled, and what they break."""

import logging
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import msgspec
import pytest
import pytorch_lightning as pl
import torch

from stable_audio_open.cli.main import main
from stable_audio_open.config.model import ModelConfig
from stable_audio_open.config.read import encode_config
from stable_audio_open.config.trainer import CheckpointConfig
from stable_audio_open.data.dataset import CropDataset
from stable_audio_open.jobs.train import run_training
from stable_audio_open.training.failures import raise_if_worker
from stable_audio_open.training.tasks.autoencoder import AutoencoderTraining
from stable_audio_open.training.tasks.diffusion import DiffusionTraining
from tests.full_disk import full_disk
from tests.needs import compiling

Change = Callable[..., Any]
KINDS: dict[str, type[pl.LightningModule]] = {
    "autoencoder_run": AutoencoderTraining,
    "diffusion_run": DiffusionTraining,
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def config(kind: str, request: pytest.FixtureRequest, change: Change, tmp_path: Path) -> Any:
    seldom = CheckpointConfig(every=100)
    return change(
        request.getfixturevalue(kind), output=str(tmp_path), name="run", checkpoint=seldom
    )


@pytest.fixture
def _compiler() -> Iterator[None]:
    """As users have it: pytest's checks of shapes cannot be compiled."""
    torch._dynamo.reset()
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
    torch._dynamo.reset()


def compile_with(monkeypatch: pytest.MonkeyPatch, kind: str, backend: Callable[..., Any]) -> None:
    """Let runs compile by another backend of torch.compile."""
    cls: Any = KINDS[kind]
    original = cls.compile_networks
    monkeypatch.setattr(cls, "compile_networks", lambda task: original(task, backend=backend))


@pytest.mark.usefixtures("_compiler")
class TestCompiling:
    pytestmark = compiling

    @pytest.mark.slow
    def test_a_signal_ends_compilation_in_one_line(
        self,
        config: ModelConfig,
        kind: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        change: Change,
        tmp_path: Path,
    ) -> None:
        def interrupted(graph: torch.fx.GraphModule, inputs: Any) -> Any:
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError("went on compiling")

        def ready(*, compiled: bool) -> Path:
            file = tmp_path / "config.json"
            file.write_bytes(encode_config(change(config, compile=compiled, max_steps=2)))
            return file

        compile_with(monkeypatch, kind, interrupted)
        before = signal.getsignal(signal.SIGTERM)
        for step in (0, 1):
            assert main(["train", "--config", str(ready(compiled=True))]) == 0
            shown = capsys.readouterr()
            assert shown.err.splitlines()[-1] == (
                f"WARNING: stopped by SIGTERM at step {step}, before a step was done; run "
                "the same command again to go on from there"
            )
            assert "compiling the networks, some minutes the first time" in shown.err
            assert "Traceback" not in shown.err
            assert ("last checkpoint" in shown.out) == (step > 0)
            assert signal.getsignal(signal.SIGTERM) is before
            run_training(change(config, max_steps=step + 1))

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["diffusion_run"], indirect=True)
    def test_the_first_steps_are_told(
        self,
        config: ModelConfig,
        kind: str,
        monkeypatch: pytest.MonkeyPatch,
        change: Change,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        caplog.set_level(logging.INFO, logger="stable_audio_open")
        compile_with(monkeypatch, kind, lambda graph, inputs: graph.forward)
        run_training(change(config, compile=True))
        told = [message for message in caplog.messages if re.match("comp|step", message)]
        assert told[0] == "compiling the networks, some minutes the first time"
        for step, line in enumerate(told[1:], start=1):
            assert re.fullmatch(rf"step {step} of 4: train/loss [\d.e-]+, [\d.]+ s", line)
        assert len(told) == 4


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 3])
def test_what_a_signal_breaks_is_saved_and_goes_on_to_the_same_weights(
    config: ModelConfig,
    kind: str,
    step: int,
    monkeypatch: pytest.MonkeyPatch,
    change: Change,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A signal to all processes of a run ends compilers and workers: their error comes first.

    An epoch has three batches: the first, amid one and the first of the next.
    """
    cls: Any = KINDS[kind]
    name = "reconstruct" if kind == "autoencoder_run" else "velocity_errors"
    original = getattr(cls, name)

    def broken(task: pl.LightningModule, *arguments: Any, **more: Any) -> Any:
        found = original(task, *arguments, **more)
        if task.global_step == step:
            os.kill(os.getpid(), signal.SIGTERM)
            raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. ")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(cls, name, broken)
        last = run_training(config)
    [told] = [message for message in caplog.messages if message.startswith("stopped")]
    assert told == (
        f"stopped by SIGTERM at step {step}; run the same command again to go on from there"
    )
    assert torch.load(last, weights_only=True)["global_step"] == step
    whole = run_training(change(config, name="whole"))
    found, expected = (
        torch.load(path, weights_only=True) for path in (run_training(config), whole)
    )
    assert found["global_step"] == expected["global_step"] == 4
    assert found.get("timesteps_drawn") == expected.get("timesteps_drawn")
    assert all(torch.equal(found["state_dict"][k], v) for k, v in expected["state_dict"].items())


@pytest.mark.slow
def test_a_full_disk_is_no_work_of_the_signal(
    config: ModelConfig, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls: Any = KINDS[kind]
    original = cls.training_step

    def asked(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(cls, "training_step", asked)
    with full_disk(50_000), pytest.raises(OSError, match="could not be written"):
        run_training(config)


@pytest.mark.slow
def test_what_a_signal_breaks_in_a_validation_is_saved_with_the_trained_weights(
    config: Any, kind: str, monkeypatch: pytest.MonkeyPatch, change: Change
) -> None:
    """An offloaded average is in the place of the weights meanwhile."""
    cls: Any = KINDS[kind]
    ema = msgspec.structs.replace(config.training.ema, offload=True)
    config = msgspec.structs.replace(
        config,
        data=msgspec.structs.replace(config.data, validation="manifest.jsonl"),
        training=msgspec.structs.replace(
            config.training,
            ema=ema,
            trainer=msgspec.structs.replace(config.training.trainer, validate_every=2),
        ),
    )

    def broken(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Terminated. ")

    with monkeypatch.context() as patched:
        patched.setattr(cls, "validation_step", broken)
        last = run_training(config)
    assert torch.load(last, weights_only=True)["global_step"] == 2
    whole = run_training(change(config, name="whole"))
    found, expected = (
        torch.load(path, weights_only=True) for path in (run_training(config), whole)
    )
    assert found.get("timesteps_drawn") == expected.get("timesteps_drawn")
    assert found["state_dict"].keys() == expected["state_dict"].keys()
    assert all(torch.equal(found["state_dict"][k], v) for k, v in expected["state_dict"].items())


@pytest.mark.slow
def test_amid_a_step_there_is_nothing_whole_to_save(
    config: ModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights may be half those of the step."""
    adam = sys.modules["torch.optim.adam"]
    original = adam.adam

    def broken(*arguments: Any, **more: Any) -> None:
        if arguments[5][0] == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            raise RuntimeError("broken amid a step")
        original(*arguments, **more)

    monkeypatch.setattr(adam, "adam", broken)
    last = run_training(config)
    assert not last.exists()


@pytest.fixture
def forked() -> Iterator[None]:
    """Processes that are forked: what is patched is patched in them too."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("fork", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.usefixtures("forked")
def test_a_worker_that_was_killed_is_named(
    autoencoder_run: Any, change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the kernel, where memory runs out."""

    def killed(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(CropDataset, "__getitem__", killed)
    data = msgspec.structs.replace(autoencoder_run.data, workers=1)
    config = msgspec.structs.replace(autoencoder_run, data=data)
    with pytest.raises(ChildProcessError) as caught:
        run_training(change(config, output=str(tmp_path)))
    assert re.fullmatch(
        r"a data worker \(process \d+\) was killed by the signal Killed, as the system does where "
        r"memory runs out; set data\.workers lower, or to 0, and run the same command again to go "
        r"on from the last checkpoint",
        str(caught.value),
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("DataLoader worker (pid(s) 12, 13) exited unexpectedly", "(process 12, 13) was killed,"),
        ("DataLoader worker (pid 12) is killed by signal: Bus error. It is", "signal Bus error,"),
        ("DataLoader worker (pid 12) exited unexpectedly with exit code 1.", "(process 12) was"),
    ],
)
def test_every_way_that_pytorch_says_it(words: str, told: str) -> None:
    with pytest.raises(ChildProcessError, match=re.escape(told)):
        raise_if_worker(RuntimeError(words))
    raise_if_worker(RuntimeError("another error"))
