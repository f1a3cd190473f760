"""Small models, written by the product in every layout that it reads."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerFast, T5EncoderModel
from transformers import T5Config as T5Sizes

from fuzzing.sounds import write_sounds
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.checkpoint.export import save_diffusers, save_stable_audio_tools
from stable_audio_open.checkpoint.native import save_native
from stable_audio_open.cli.main import main
from stable_audio_open.config.autoencoder import AutoencoderConfig, OobleckConfig, VaeConfig
from stable_audio_open.config.conditioning import ConditioningConfig, NumberConfig, T5Config
from stable_audio_open.config.data import FolderConfig
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig
from stable_audio_open.config.trainer import CheckpointConfig, TrainerConfig
from stable_audio_open.config.training import (
    AutoencoderTrainingConfig,
    DiffusionTrainingConfig,
    EmaConfig,
    LoraConfig,
    ReconstructionConfig,
)
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import load

RATE = 16000
WINDOW = 4096
WORDS = ("deep", "kick", "drum", "soft", "bright", "bell")
TEXT_ENCODER = "text_encoder"


@dataclass(frozen=True)
class Layout:
    """A model on disk."""

    folder: Path
    source: str
    """What `load` takes, relative to the folder."""
    has_text_encoder: bool
    """It need not be given beside."""
    state: Mapping[str, Tensor]
    """Its tensors when it is loaded."""
    is_trained: bool = False
    """A checkpoint of a run, in which any damage is noticed."""


def model_config() -> DiffusionModelConfig:
    """Return a whole model of 60,000 numbers."""
    side = OobleckConfig(channels=8, multipliers=(1, 2), strides=(4, 8))
    return DiffusionModelConfig(
        name="small",
        sample_rate=RATE,
        audio_channels=2,
        window_samples=WINDOW,
        autoencoder=AutoencoderConfig(
            encoder=side, decoder=side, bottleneck=VaeConfig(), latent_channels=4
        ),
        conditioning=ConditioningConfig(
            width=64,
            conditioners=(
                T5Config(id="prompt", model=TEXT_ENCODER, max_length=8),
                NumberConfig(id="seconds_start", min=0, max=512),
                NumberConfig(id="seconds_total", min=0, max=512),
            ),
            cross_attention=("prompt", "seconds_start", "seconds_total"),
            global_=("seconds_start", "seconds_total"),
        ),
        transformer=msgspec.convert(
            {
                "type": "dit",
                # stable-audio-tools has heads of 64 features.
                **{"latent_channels": 4, "width": 64, "depth": 1, "heads": 1},
                **{"context_width": 64, "global_width": 128},
            },
            DiffusionModelConfig.__annotations__["transformer"],
        ),
    )


def autoencoder_config() -> AutoencoderModelConfig:
    """Return the autoencoder of the same."""
    whole = model_config()
    return AutoencoderModelConfig(
        name="small-autoencoder",
        sample_rate=RATE,
        audio_channels=2,
        autoencoder=whole.autoencoder,
    )


def _text_encoder() -> TextEncoder:
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"▁{w}", -2.0) for w in WORDS)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    sizes = T5Sizes(
        vocab_size=len(vocabulary), d_model=24, d_kv=8, d_ff=32, num_layers=1, num_heads=2
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    return TextEncoder(fast, T5EncoderModel(sizes).eval(), sizes.d_model)


def write_models(folder: Path, *, seed: int) -> dict[str, Layout]:
    """Write all layouts below a folder, and return them by name."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole = build_model(model_config(), text_encoder=_text_encoder())
        alone = build_autoencoder(autoencoder_config())
    found: dict[str, tuple[str, bool]] = {}
    save_native(whole, model_config(), folder / "native")
    found["native"] = (".", True)
    save_native(alone, autoencoder_config(), folder / "autoencoder")
    found["autoencoder"] = (".", True)
    _lone_file(folder / "native", folder / "file")
    found["file"] = ("model.safetensors", True)
    save_stable_audio_tools(whole, model_config(), folder / "tools")
    # Some versions of the product write the text encoder beside it.
    found["tools"] = (".", (folder / "tools" / TEXT_ENCODER).is_dir())
    save_stable_audio_tools(alone, autoencoder_config(), folder / "tools_autoencoder")
    found["tools_autoencoder"] = (".", True)
    _as_pickle(folder / "tools", folder / "tools_ckpt")
    found["tools_ckpt"] = ("model.ckpt", False)
    save_diffusers(whole, model_config(), folder / "diffusers")
    found["diffusers"] = (".", True)
    shutil.copytree(folder / "diffusers" / "vae", folder / "vae")
    found["vae"] = (".", True)
    text = folder / "native" / TEXT_ENCODER
    (folder / "trained_autoencoder").mkdir()
    shutil.copy(_train(folder, diffusion=False), folder / "trained_autoencoder" / "last.ckpt")
    found["trained_autoencoder"] = ("last.ckpt", True)
    (folder / "trained").mkdir()
    last = _train(folder, diffusion=True)
    shutil.copy(last, folder / "trained" / "last.ckpt")
    found["trained"] = ("last.ckpt", False)
    code = main(["export", str(last), "--to", "lora", "--output", str(folder / "adapter")])
    assert code == 0, "the adapter could not be written"
    return {
        name: Layout(
            folder / name,
            source,
            has_text,
            _state(folder / name / source, None if has_text else text),
            is_trained=name.startswith("trained"),
        )
        for name, (source, has_text) in found.items()
    }


def _state(source: Path, text_encoder: Path | None) -> dict[str, Tensor]:
    return dict(load(source, device="cpu", dtype="float32", text_encoder=text_encoder).state_dict())


def _lone_file(native: Path, folder: Path) -> None:
    shutil.copytree(native, folder, ignore=shutil.ignore_patterns("config.json"))
    shutil.copy(native / TEXT_ENCODER / "config.json", folder / TEXT_ENCODER)


def _as_pickle(tools: Path, folder: Path) -> None:
    folder.mkdir()
    shutil.copy(tools / "model_config.json", folder)
    torch.save({"state_dict": load_file(tools / "model.safetensors")}, folder / "model.ckpt")


def _train(folder: Path, *, diffusion: bool) -> Path:
    """Train for a step, the diffusion model with an adapter, and return the checkpoint."""
    recordings = folder / "recordings"
    if not recordings.is_dir():
        write_sounds(recordings, rate=RATE)
    trainer = TrainerConfig(
        max_steps=1,
        accelerator="cpu",
        devices=1,
        checkpoint=CheckpointConfig(every=1),
        output=str(folder / "runs"),
        name="diffusion" if diffusion else "autoencoder",
    )
    common: dict[str, Any] = {
        "trainer": trainer,
        "optimizer": AdamWConfig(lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0),
        "schedule": InverseLRConfig(inv_gamma=1000, power=0.5, warmup=0.5),
        "batch_size": 1,
        "ema": EmaConfig(decay=0.5),
    }
    data = FolderConfig(path=str(recordings))
    if diffusion:
        training = DiffusionTrainingConfig(
            **common,
            initialize=str(folder / "native"),
            lora=LoraConfig(rank=2, alpha=4, targets=("self_attention",)),
        )
        return run_training(_with_text(model_config(), folder, data, training))
    settings = AutoencoderTrainingConfig(
        **common, crop_samples=2048, loss=ReconstructionConfig(fft_sizes=(128, 32))
    )
    return run_training(msgspec.structs.replace(autoencoder_config(), data=data, training=settings))


def _with_text(
    config: DiffusionModelConfig, folder: Path, data: FolderConfig, training: Any
) -> DiffusionModelConfig:
    text, *numbers = config.conditioning.conditioners
    text = msgspec.structs.replace(text, model=str(folder / "native" / TEXT_ENCODER))
    conditioning = msgspec.structs.replace(config.conditioning, conditioners=(text, *numbers))
    return msgspec.structs.replace(config, conditioning=conditioning, data=data, training=training)


def encoding_run(folder: Path) -> DiffusionModelConfig:
    """Return what encodes the recordings of a folder of models into shards."""
    training = DiffusionTrainingConfig(
        trainer=TrainerConfig(max_steps=1, accelerator="cpu", output=str(folder), name="encoding"),
        optimizer=AdamWConfig(lr=1e-3, betas=(0.9, 0.99), weight_decay=0.0),
        schedule=InverseLRConfig(inv_gamma=1000, power=0.5, warmup=0.5),
        autoencoder=str(folder / "autoencoder"),
    )
    data = FolderConfig(path=str(folder / "recordings"))
    return msgspec.structs.replace(model_config(), data=data, training=training)
