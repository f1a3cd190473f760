"""The estimate of a run's memory against the run itself, and of the shipped configurations."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import nn

from stable_audio_open.cli.main import main
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import (
    AutoencoderModelConfig,
    DiffusionModelConfig,
    ModelConfig,
)
from stable_audio_open.config.read import encode_config, read_config
from stable_audio_open.config.training import InpaintingConfig, LoraConfig
from stable_audio_open.jobs.estimate import estimate_memory
from stable_audio_open.jobs.train import run_training
from stable_audio_open.training.memory import PeakBytes

Change = Callable[..., Any]

CONFIGS = Path(__file__).parents[2] / "configs"
GIB = 2**30

RUN = """
import sys
from pathlib import Path

import peft, torch
from stable_audio_open.jobs.train import run_training
from stable_audio_open.cli.main import main
from stable_audio_open.config.read import read_config


def resident(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith(kind)]
    return 1024 * int(line.split()[1])


layer = torch.nn.Linear(64, 64)  # the libraries' own memory
layer(torch.ones(64, 64)).sum().backward()
before = resident("VmRSS")
run_training(read_config(Path(sys.argv[1])))
on_gpu = torch.cuda.is_available() and "gpu" in sys.argv
print("took", torch.cuda.max_memory_allocated() if on_gpu else resident("VmHWM") - before)
"""


def with_training(config: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(
        config, training=msgspec.structs.replace(config.training, **changes)
    )


@pytest.fixture(scope="module")
def larger(diffusion_run: DiffusionModelConfig) -> DiffusionModelConfig:
    """A transformer of 19 million weights on 4 windows of 500 latents."""
    conditioning = msgspec.structs.replace(diffusion_run.conditioning, width=64)
    transformer = msgspec.structs.replace(
        diffusion_run.transformer, width=512, depth=4, heads=8, context_width=64, global_width=128
    )
    config = msgspec.structs.replace(
        diffusion_run, conditioning=conditioning, transformer=transformer
    )
    sized: DiffusionModelConfig = with_training(config, batch_size=4)
    return sized


def measured(config: ModelConfig, folder: Path, *arguments: str) -> int:
    """Memory of a real run at its largest, less that of before the model.

    The C library would keep freed memory for later: here it gives back what it can.
    """
    file = folder / "run.json"
    file.write_bytes(encode_config(config))
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(file), *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"},
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split("took")[1])


MODES: dict[str, dict[str, Any]] = {
    "none": {"activation_checkpointing": "none"},
    "full": {"activation_checkpointing": "full"},
    "lora": {"activation_checkpointing": "none", "lora": LoraConfig(rank=8)},
}


@pytest.fixture(params=MODES)
def run(
    request: pytest.FixtureRequest, larger: DiffusionModelConfig, change: Change, tmp_path: Path
) -> DiffusionModelConfig:
    """Two steps in each mode; the second one has gradients and running means from the start."""
    config = change(larger, max_steps=2, name="measured", output=str(tmp_path))
    if request.param == "lora":
        start = change(larger, max_steps=1, name="start", output=str(tmp_path))
        config = with_training(config, initialize=str(run_training(start)), autoencoder=None)
    sized: DiffusionModelConfig = with_training(config, **MODES[request.param])
    return sized


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads Linux's /proc")
def test_estimate_is_that_of_a_real_run(run: DiffusionModelConfig, tmp_path: Path) -> None:
    assert estimate_memory(run).total == pytest.approx(measured(run, tmp_path), rel=0.15)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("offload", [False, True])
def test_estimate_is_that_of_a_real_run_on_a_gpu(
    run: DiffusionModelConfig, change: Change, tmp_path: Path, precision: str, offload: bool
) -> None:
    config = change(run, accelerator="gpu", precision=precision)
    assert config.training is not None
    config = with_training(
        config,
        optimizer=msgspec.structs.replace(config.training.optimizer, offload=offload),
        ema=msgspec.structs.replace(config.training.ema, offload=offload),
    )
    took = measured(config, tmp_path, "gpu")
    assert estimate_memory(config).total == pytest.approx(took, rel=0.15)


@pytest.mark.slow
def test_weights_gradients_running_means_and_average_have_their_sizes(
    larger: DiffusionModelConfig,
) -> None:
    found = estimate_memory(larger)
    assert found.trained == found.gradients
    assert found.optimizer == pytest.approx(2 * found.trained, rel=1e-3)  # and a count each
    assert found.total == sum(found)
    offloaded = estimate_memory(
        with_training(
            larger,
            optimizer=msgspec.structs.replace(larger.training.optimizer, offload=True),  # type: ignore[union-attr]
            ema=msgspec.structs.replace(larger.training.ema, offload=True),  # type: ignore[union-attr]
        ),
        gpu=True,
    )
    assert (offloaded.optimizer, offloaded.ema) == (0, 0)
    assert offloaded.host_optimizer == 2 * found.trained
    assert offloaded.host_ema == found.ema
    assert offloaded.total == sum(offloaded) - offloaded.host


@pytest.mark.slow
def test_gradients_that_are_exchanged_count_twice(
    adversarial_run: AutoencoderModelConfig, change: Change
) -> None:
    found = estimate_memory(change(adversarial_run, strategy="ddp"))
    assert found.buckets == found.gradients > 0
    assert estimate_memory(adversarial_run).buckets == 0


@pytest.mark.slow
@pytest.mark.parametrize("convergence", ["item", "batch"])
def test_leaving_sides_out_is_counted_where_it_is_done(
    autoencoder_run: AutoencoderModelConfig, convergence: str
) -> None:
    """No tensor holds anything: which recordings are mono is not looked at."""
    totals = []
    for skip in (True, False):
        training: Any = autoencoder_run.training
        loss = msgspec.structs.replace(
            training.loss, convergence=convergence, skip_silent_side=skip
        )
        training = msgspec.structs.replace(training, loss=loss)
        totals.append(estimate_memory(msgspec.structs.replace(autoencoder_run, training=training)))
    assert totals[0].total > totals[1].total
    assert totals[0].activations == pytest.approx(totals[1].activations, rel=0.05)


def test_live_bytes_of_a_small_computation() -> None:
    layer = nn.Linear(10, 20, bias=False)
    with PeakBytes(layer.parameters()) as live:
        assert live.live == 4 * 200
        x = torch.ones(5, 10)
        y = layer(x)
        assert live.live == 4 * (200 + 50 + 100)
        view = y[1:]
        del y
        assert live.live == 4 * (200 + 50 + 100)
        del view, x
        assert live.live == 4 * 200
        assert live.peak == 4 * (200 + 50 + 100)


@pytest.mark.slow
def test_nothing_is_written_or_drawn(
    adversarial_run: AutoencoderModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    state = torch.random.get_rng_state()
    estimate_memory(adversarial_run)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": None}, "`training` is missing; the estimate needs this section"),
        (
            {"strategy": "fsdp", "devices": 2},
            "strategy is fsdp, for which there is no estimate; allowed: auto",
        ),
    ],
)
def test_what_cannot_be_estimated(
    diffusion_run: DiffusionModelConfig, change: Change, changes: dict[str, Any], message: str
) -> None:
    kind = change if "strategy" in changes else msgspec.structs.replace
    with pytest.raises(ConfigError, match=re.escape(message)):
        estimate_memory(kind(diffusion_run, **changes))


@pytest.mark.slow
def test_inpainting_is_estimated(diffusion_run: DiffusionModelConfig) -> None:
    assert diffusion_run.training is not None
    config = msgspec.structs.replace(
        diffusion_run,
        transformer=msgspec.structs.replace(diffusion_run.transformer, inpainting=True),
        training=msgspec.structs.replace(diffusion_run.training, inpainting=InpaintingConfig()),
    )
    assert estimate_memory(config).total > estimate_memory(diffusion_run).total


# What a card has, less what the CUDA context, workspaces and fragmentation may take, in GiB.
CARDS = {"loops_20s": 22.5, "one_shots_11s": 22.5, "decoder": 22.5, "lora": 15.0}


SHIPPED = sorted(
    path for path in CONFIGS.glob("*/*.json") if b'"type": "curation"' not in path.read_bytes()
)


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_shipped_configuration_is_estimated(
    path: Path, text_encoder_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "--estimate", "--config", str(path)]
    if path.parent.name == "tiny" and path.stem in ("diffusion", "flow", "flow_few_steps"):
        assert main(command) == 2
        assert capsys.readouterr().err == (
            "stable-audio-open: the size of the text encoder 'data/tiny_text_encoder' is unknown; "
            "known are t5-small, t5-base, t5-large and folders that hold a config.json\n"
        )
        config = with_text_encoder(path, text_encoder_folder)
        assert estimate_memory(config).total > 20e6  # 5 million weights
    else:
        assert main(command) == 0
        found = re.search(r"total +│ +(\d+\.\d\d) │", capsys.readouterr().out)
        assert found is not None
        if path.parent.name == "finetune":  # fits its card
            assert 5 < float(found[1]) < CARDS[path.stem]


def with_text_encoder(path: Path, folder: Path) -> ModelConfig:
    config: Any = read_config(path)
    text, *others = config.conditioning.conditioners
    text = msgspec.structs.replace(text, model=str(folder))
    conditioning = msgspec.structs.replace(config.conditioning, conditioners=(text, *others))
    read: ModelConfig = msgspec.structs.replace(config, conditioning=conditioning)
    return read
