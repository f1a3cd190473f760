"""Random adapters of the small model."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
import torch
from torch import nn

from stable_audio_open.checkpoint.lora.adapter import Adapter, save_adapter
from stable_audio_open.pretrained import StableAudio


@pytest.fixture(scope="session")
def random_adapter(
    tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path
) -> Callable[..., Path]:
    """Write an adapter of the linear layers like a pattern, in peft's format."""
    transformer = StableAudio.from_pretrained(tiny_model_folder, device="cpu").transformer
    weights = {k: m.weight for k, m in transformer.named_modules() if isinstance(m, nn.Linear)}

    def write(pattern: str = "*", *, seed: int = 0, is_dora: bool = False) -> Path:
        random = torch.Generator().manual_seed(seed)
        found = {k: w for k, w in weights.items() if fnmatchcase(k, pattern)}
        assert found

        def numbers(*shape: int) -> torch.Tensor:
            return 0.3 * torch.randn(shape, generator=random)

        settings = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "use_dora": is_dora}
        adapter = Adapter(
            down={k: numbers(2, w.shape[1]) for k, w in found.items()},
            up={k: numbers(w.shape[0], 2) for k, w in found.items()},
            scale=1.0,
            settings=settings,
            source="random",
            magnitude={k: 1 + numbers(w.shape[0]) for k, w in found.items()} if is_dora else {},
        )
        folder = tmp_path_factory.mktemp("adapters") / f"random_{seed}"
        save_adapter(adapter, folder)
        return folder

    return write


@pytest.fixture
def model(tiny_model_folder: Path) -> StableAudio:
    return StableAudio.from_pretrained(tiny_model_folder, device="cpu")
