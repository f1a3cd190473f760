"""The model of a request, and how it is loaded."""

from typing import Any

import msgspec
import torch

from stable_audio_open.data.processes import JoinedProcesses
from stable_audio_open.nn.device import AUTO
from stable_audio_open.request.given_adapters import AdapterOptions


class ModelRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What every job with a model from disk is asked."""

    model: str
    """As `load` takes it."""
    text_encoder: str | None = None
    """Folder or hub name of a T5 encoder, as `load` takes it."""
    device: str | None = None
    """Where to compute; a GPU where there is one and this is None."""
    dtype: str | None = None
    """Number format of the weights, as `load` takes it."""


class SystemRequest(ModelRequest, frozen=True, kw_only=True):
    """What a job with a whole system is asked: its transformer may have adapters."""

    lora: tuple[tuple[str, float | AdapterOptions], ...] = ()
    """Folders of adapters, and how much of each is merged; or how each takes part unmerged."""
    attention: str = "sdpa"
    """Backend of attention, as `load` takes it."""

    def loading(self, processes: JoinedProcesses) -> dict[str, Any]:
        """Return the arguments of `load` but the model, in one of several processes.

        Raises:
            ValueError: There are more processes than GPUs.
        """
        return {
            "device": device_of(self.device, processes),
            "dtype": self.dtype,
            "text_encoder": self.text_encoder,
            "attention": self.attention,
            "lora": self.lora,
        }


def device_of(device: str | None, processes: JoinedProcesses) -> str | None:
    """Return the device of this process: of several, each has its own GPU.

    Raises:
        ValueError: There are more processes than GPUs.
    """
    if processes.total == 1 or device not in (None, AUTO, "cuda"):
        return device
    gpus = torch.cuda.device_count()
    if device in (None, AUTO) and not gpus:
        return "cpu"
    if processes.local_rank >= gpus:
        raise ValueError(
            f"process {processes.local_rank} of this machine has no GPU, there are {gpus}; start "
            "as many processes as GPUs, or compute on the device cpu"
        )
    return f"cuda:{processes.local_rank}"
