"""Commands run in this process, and recordings of every bad kind."""

from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
import torch
from torch import nn

from stable_audio_open.checkpoint.lora.adapter import Adapter, save_adapter
from stable_audio_open.cli.main import main
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.read import encode_config
from stable_audio_open.pretrained import StableAudio

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        capsys.readouterr()
        code = main(words)
        shown = capsys.readouterr()
        return CompletedProcess(words, code, shown.out, shown.err)

    return run


@pytest.fixture
def refuse(run: Run, tmp_path: Path) -> Callable[..., None]:
    """Run a command that must fail in one line and change no file."""

    def refuse(*arguments: object, code: int, message: str) -> None:
        before = files(tmp_path)
        result = run(*arguments)
        assert result.stderr == f"stable-audio-open: {message}\n"
        assert result.returncode == code
        assert result.stdout == ""
        assert files(tmp_path) == before

    return refuse


@pytest.fixture
def save_random_adapter(tiny_model_folder: Path) -> Callable[..., None]:
    """Write an adapter of all linear layers of the small model's transformer, in peft's format."""
    transformer = StableAudio.from_pretrained(tiny_model_folder, device="cpu").transformer
    layers = {k: m.weight for k, m in transformer.named_modules() if isinstance(m, nn.Linear)}

    def save(folder: Path, *, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        adapter = Adapter(
            down={k: torch.randn(2, w.shape[1], generator=generator) for k, w in layers.items()},
            up={k: torch.randn(w.shape[0], 2, generator=generator) for k, w in layers.items()},
            scale=1.0,
            settings={"peft_type": "LORA", "r": 2, "lora_alpha": 2},
            source=str(folder),
        )
        save_adapter(adapter, folder)

    return save


def files(folder: Path) -> dict[str, bytes | None]:
    """Every path below a folder with its content; None for folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """The folder with a recording of every kind; also the current one."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((16000, 2))
    soundfile.write(tmp_path / "good.wav", noise, 16000)
    soundfile.write(tmp_path / "mono_8k.wav", noise[:8000, 0], 8000)
    soundfile.write(tmp_path / "silent.wav", 0 * noise, 16000)
    soundfile.write(tmp_path / "six.wav", np.zeros((100, 6)), 16000)
    broken = noise.astype(np.float32)
    broken[500] = np.nan
    soundfile.write(tmp_path / "nan.wav", broken, 16000, subtype="FLOAT")
    soundfile.write(tmp_path / "no_samples.wav", noise[:0], 16000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:5000])
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("this is not a recording")
    return tmp_path


DAMAGED = {
    "missing.wav": "missing.wav: no such file; check the path",
    "empty.wav": "empty.wav: the file is empty (0 bytes); download or export it again",
    "text.wav": "text.wav: not a readable audio file (Format not recognised); "
    "use WAV, FLAC, Ogg, MP3 or AIFF",
    "cut.wav": "cut.wav: the file is truncated (it ends before its header says); "
    "download or export it again",
    "no_samples.wav": "no_samples.wav: holds no audio (0 samples); leave it out",
    "nan.wav": "nan.wav: holds NaN or infinite samples; export the recording again or leave it out",
    "six.wav": "six.wav: cannot turn audio of 6 channels into 2; only 1 to 2 and 2 to 1 are "
    "defined: mix the file down to stereo first",
}


@pytest.fixture(params=sorted(DAMAGED))
def damaged(request: pytest.FixtureRequest, recordings: Path) -> tuple[str, str]:
    """A recording that cannot be used, and what is said about it."""
    return request.param, DAMAGED[request.param]


@pytest.fixture
def one_step(
    tiny_model_config: DiffusionModelConfig, tiny_autoencoder_folder: Path
) -> dict[str, Any]:
    """A configuration to train a diffusion model on the recordings here, by a single step."""
    settings: dict[str, Any] = msgspec.json.decode(encode_config(tiny_model_config))
    settings["data"] = {"type": "folder", "path": "."}
    settings["training"] = {
        "autoencoder": str(tiny_autoencoder_folder),
        "trainer": {"max_steps": 1, "accelerator": "cpu"},
        "optimizer": {"type": "adamw", "lr": 1e-3, "betas": [0.9, 0.999], "weight_decay": 0},
        "schedule": {"type": "inverse_lr", "inv_gamma": 1000, "power": 1, "warmup": 0},
        "batch_size": 1,
    }
    return settings


@pytest.fixture
def two_steps(run: Run, tiny_autoencoder_config: AutoencoderModelConfig) -> Path:
    """A configuration of two steps of an autoencoder, on the manifest of the folder."""
    settings: dict[str, Any] = msgspec.json.decode(encode_config(tiny_autoencoder_config))
    settings["data"] = {"type": "folder", "path": "."}
    settings["training"] = {
        "trainer": {"max_steps": 2, "accelerator": "cpu", "log_every": 1},
        "optimizer": {"type": "adamw", "lr": 1e-3, "betas": [0.9, 0.999], "weight_decay": 0},
        "schedule": {"type": "inverse_lr", "inv_gamma": 1000, "power": 1, "warmup": 0},
        "batch_size": 1,
        "crop_samples": 2048,
        "loss": {"fft_sizes": [256, 64]},
    }
    path = Path("run.json")
    path.write_bytes(msgspec.json.encode(settings))
    return path
