"""The losses of every shipped training configuration, on a GPU that is not here.

None of them asks it for a value, mixes devices or waits for a copy. A backward pass needs a real
one.
"""

import copy
import warnings
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.builders.training import autoencoder_task, diffusion_task
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.data.datamodule import AudioDataModule
from stable_audio_open.training.post_training.task import AdversarialPostTraining
from stable_audio_open.training.tasks import diffusion
from stable_audio_open.training.tasks.adversarial import AdversarialTraining
from stable_audio_open.training.tasks.autoencoder import freeze_encoder
from tests.fake_gpu import GPU, NoWaiting, prompts_of_zeros, to_fake_gpu
from tests.shipped_configs import ROOT, SHIPPED, overrides

pytestmark = pytest.mark.usefixtures("types_unchecked", "unpinned")


@pytest.fixture
def unpinned(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Memory cannot be pinned for a device that is not here, nor logged without a trainer."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are trying to `self.log")
        yield


class HalfWay:
    """The draws of a Sobol sequence are values, which fake tensors have not."""

    def draw(self, count: int) -> Tensor:
        return torch.full((count,), 0.5)


class FirstHalf:
    """A mask that needs no draw."""

    def draw(self, generators: Any, lengths: list[float], frames: int) -> Tensor:
        assert len(generators) == len(lengths)
        mask = torch.zeros(len(lengths), 1, frames)
        mask[..., : frames // 2] = 1
        return mask


def loaded(config: Any) -> dict[str, Any]:
    """A batch as the loaders give it."""
    if isinstance(config, AutoencoderModelConfig):
        return {"audio": torch.zeros(2, config.audio_channels, config.training.crop_samples)}
    frames = config.window_samples // config.autoencoder.downsampling
    shape = 2, config.autoencoder.latent_channels, frames
    numbers = [one.id for one in config.conditioning.conditioners if one.id != "prompt"]
    return {
        "latents": torch.zeros(shape),
        "std": torch.ones(shape),
        "prompt": ["deep drum", "bright bell"],
        **{name: torch.ones(2) for name in numbers},
    }


def losses(task: Any, batch: dict[str, Any]) -> dict[str, Tensor]:
    """What each side of a training minimises."""
    if "audio" in batch:
        audio = batch["audio"]
        if isinstance(task, AdversarialTraining):
            return {
                "autoencoder": task.autoencoder_loss(audio, 0).loss,
                "discriminator": task.discriminator_loss(audio, 0),
            }
        return {"autoencoder": task.training_step(batch, 0)}
    if not isinstance(task, AdversarialPostTraining):
        return {"diffusion": task.training_step(batch, 0)}
    learnt = task.learnt(batch, 0)
    sides = (task.warm_up_loss, task.student_loss, task.discriminator_loss)
    return {side.__name__: side(learnt) for side in sides}


def check(config: Any, text_encoder: TextEncoder) -> None:
    training = config.training
    if isinstance(config, AutoencoderModelConfig):
        autoencoder = build_autoencoder(config)
        if training.train == "decoder":
            freeze_encoder(autoencoder)
        # Nothing is read.
        alone = msgspec.structs.replace(training, initialize=None, train="all")
        task: Any = autoencoder_task(config, alone, autoencoder)
    else:
        # A copy, since its weights are taken away.
        model = build_model(config, text_encoder=copy.deepcopy(text_encoder))
        task = diffusion_task(config, training, model)
        prompts_of_zeros(model.conditioner)
        task.timesteps = HalfWay()
        task.inpainting = task.inpainting and FirstHalf()
    task.train()
    batch = loaded(config)
    loader = AudioDataModule([], batch_size=2)  # type: ignore[arg-type]  # nothing is loaded
    with FakeTensorMode(allow_non_fake_inputs=True), NoWaiting():
        to_fake_gpu(task)
        batch = loader.transfer_batch_to_device(batch, torch.device(GPU), 0)
        found = losses(task, batch)
    assert found
    for name, loss in found.items():
        assert (loss.device.type, loss.dtype, loss.shape) == (GPU, torch.float32, ()), name


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_configuration(name: str, tiny_text_encoder: TextEncoder) -> None:
    check(read_config(ROOT / "configs" / f"{name}.json", overrides(name)), tiny_text_encoder)


def test_inpainting(tiny_text_encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def lengths(numbers: dict[str, Tensor], items: int, *, rate: float) -> list[float]:
        assert {number.device.type for number in numbers.values()} == {"cpu"}
        return [rate] * items

    monkeypatch.setattr(diffusion, "sounding_frames", lengths)
    masks = ("transformer.inpainting=true", "training.inpainting={}")
    path = ROOT / "configs/tiny/diffusion.json"
    check(read_config(path, [*overrides("tiny/diffusion"), *masks]), tiny_text_encoder)
