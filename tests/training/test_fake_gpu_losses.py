"""The losses of every shipped training configuration, on a GPU that is not here.

None of them asks it for a value, mixes devices or waits for a copy. A backward pass needs a real
one.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from stable_audio_open.builders.model import TextEncoder
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.data.datamodule import AudioDataModule
from stable_audio_open.training.tasks import diffusion
from tests.fake_gpu import GPU, NoWaiting, prompts_of_zeros, to_fake_gpu
from tests.shipped_configs import ROOT, SHIPPED, overrides
from tests.shipped_losses import loaded, losses, task_of

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


def check(config: Any, text_encoder: TextEncoder) -> None:
    task = task_of(config, text_encoder)
    if not isinstance(config, AutoencoderModelConfig):
        prompts_of_zeros(task.model.conditioner)
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


@pytest.mark.slow
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
