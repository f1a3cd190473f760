"""The shipped fine-tunes, two steps each on small models; other windows, parts of whole models."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from stable_audio_open.builders.training import new_autoencoder
from stable_audio_open.checkpoint.bundled import BUNDLED
from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.cli.main import main
from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import load

Change = Callable[..., Any]
FINETUNE = Path(__file__).parents[2] / "configs/finetune"


def shrunk(name: str, model: Any, recordings: Path, output: Path, initialize: Path) -> Any:
    """The training section of a shipped configuration over a small model."""
    training: Any = read_config(FINETUNE / f"{name}.json").training
    training = msgspec.structs.replace(training, batch_size=2, initialize=str(initialize))
    data = FolderConfig(path=str(recordings), latent_cache=str(output / "latents"))
    config = msgspec.structs.replace(model, data=data, training=training)
    trainer = msgspec.structs.replace(
        training.trainer,
        max_steps=2,
        accelerator="cpu",
        devices=1,
        accumulate=1,
        log_every=1,
        output=str(output),
    )
    return msgspec.structs.replace(
        config, training=msgspec.structs.replace(training, trainer=trainer)
    )


def steps(checkpoint: Path) -> int:
    count: int = torch.load(checkpoint, weights_only=True)["global_step"]
    return count


@pytest.mark.slow
@pytest.mark.parametrize("name", ["loops_20s", "one_shots_11s", "lora"])
def test_the_shipped_fine_tunes_run(
    name: str,
    tiny_model_config: DiffusionModelConfig,
    tiny_model_folder: Path,
    recordings: Path,
    tmp_path: Path,
) -> None:
    config = shrunk(name, tiny_model_config, recordings, tmp_path, tiny_model_folder)
    assert steps(run_training(config)) == 2


@pytest.mark.slow
def test_the_shipped_fine_tune_of_the_decoder_runs(
    tiny_autoencoder_config: AutoencoderModelConfig,
    tiny_model_folder: Path,
    recordings: Path,
    tmp_path: Path,
) -> None:
    config = shrunk("decoder", tiny_autoencoder_config, recordings, tmp_path, tiny_model_folder)
    adversarial = msgspec.structs.replace(config.training.adversarial, filters=4)
    config = msgspec.structs.replace(
        config,
        training=msgspec.structs.replace(
            config.training, adversarial=adversarial, crop_samples=4096
        ),
    )
    last = run_training(config)
    assert steps(last) == 2
    before = load(tiny_model_folder, device="cpu").autoencoder  # type: ignore[union-attr]
    after = load(last, device="cpu", use_ema=False)
    changed = {
        key.partition(".")[0]
        for key, tensor in after.state_dict().items()
        if not torch.equal(tensor, before.state_dict()[key])
    }
    assert changed == {"decoder"}


@pytest.mark.parametrize(("name", "seconds"), [("loops_20s", 20.02), ("one_shots_11s", 11.01)])
def test_windows_are_those_of_the_paper(name: str, seconds: float) -> None:
    config = read_config(FINETUNE / f"{name}.json")
    assert isinstance(config, DiffusionModelConfig)
    assert config.window_samples / config.sample_rate == pytest.approx(seconds, abs=0.01)
    published = read_config(FINETUNE.parent / "stable_audio_open_1_0" / "diffusion.json")
    assert isinstance(published, DiffusionModelConfig)
    for part in ("autoencoder", "conditioning", "transformer"):
        assert getattr(config, part) == getattr(published, part)


@pytest.mark.slow
def test_a_fine_tune_may_have_another_window(recordings: Path, tmp_path: Path) -> None:
    tiny = BUNDLED["tiny"]
    model = read_config(tiny / "config.json")
    assert isinstance(model, DiffusionModelConfig)
    longer = msgspec.structs.replace(model, window_samples=model.window_samples // 2)
    # By its name.
    last = run_training(shrunk("loops_20s", longer, recordings, tmp_path, Path("tiny")))
    assert steps(last) == 2
    tuned = load(last, device="cpu", text_encoder=str(tiny / "text_encoder"))
    assert tuned.window_samples == model.window_samples // 2  # type: ignore[union-attr]


def decoder_config(config: AutoencoderModelConfig, start: Path) -> AutoencoderModelConfig:
    training: Any = read_config(FINETUNE / "decoder.json").training
    training = msgspec.structs.replace(training, initialize=str(start))
    return msgspec.structs.replace(config, training=training)


@pytest.mark.parametrize("layout", ["native", "stable-audio-tools"])
def test_an_autoencoder_is_taken_out_of_a_whole_model(
    layout: str,
    wide_model_folder: Path,
    tiny_autoencoder_config: AutoencoderModelConfig,
    tmp_path: Path,
) -> None:
    folder = tmp_path / layout
    command = ["export", str(wide_model_folder), "--to", layout, "--output", str(folder)]
    assert main(command) == 0
    config = decoder_config(tiny_autoencoder_config, folder)
    assert config.training is not None
    found = new_autoencoder(config, config.training).state_dict()
    expected = load(wide_model_folder, device="cpu").autoencoder.state_dict()  # type: ignore[union-attr]
    assert found.keys() == expected.keys()
    assert [key for key in found if not torch.equal(found[key], expected[key])] == []


def test_an_autoencoder_of_another_size_is_refused(
    tiny_autoencoder_config: AutoencoderModelConfig,
) -> None:
    config = decoder_config(tiny_autoencoder_config, BUNDLED["tiny"])
    assert config.training is not None
    with pytest.raises(CheckpointError, match=r"does not fit its configuration: .* misshapen"):
        new_autoencoder(config, config.training)
