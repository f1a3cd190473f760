from pathlib import Path

import msgspec
import pytest

from stable_audio_open.config.data import FolderConfig, ShardsConfig
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.read import read_config
from stable_audio_open.config.training import EmaConfig

REPOSITORY = Path(__file__).parents[2]
AUTOENCODER = REPOSITORY / "configs/stable_audio_open_1_0/autoencoder.json"
DIFFUSION = REPOSITORY / "configs/stable_audio_open_1_0/diffusion.json"
PUBLISHED = Path(__file__).with_name("published_model_config.json")


def value_at(path: Path, field: str, *overrides: str) -> object:
    value = msgspec.to_builtins(read_config(path, overrides))
    for key in field.split("."):
        value = value[int(key)] if key.isdecimal() else value[key]
    return value


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (AUTOENCODER, "training.batch_size=8", 8),
        (AUTOENCODER, "training.optimizer.lr=1e-4", 1e-4),
        (AUTOENCODER, "training.optimizer.lr=1", 1.0),
        (AUTOENCODER, "training.loss.fft_sizes=[2048,512]", (2048, 512)),
        (AUTOENCODER, "training.loss.fft_sizes.0=4096", 4096),
        (AUTOENCODER, "training.optimizer.betas.1=0.9", 0.9),
        (AUTOENCODER, "training.trainer.name=run1", "run1"),
        (AUTOENCODER, "training.trainer.name=17", "17"),
        (AUTOENCODER, 'training.trainer.name="17"', "17"),
        (AUTOENCODER, "training.trainer.name=a=b", "a=b"),
        (AUTOENCODER, "training.trainer.max_steps=1e5", 100_000),
        (AUTOENCODER, "training.trainer.devices=auto", "auto"),
        (AUTOENCODER, "training.trainer.checkpoint.keep=1", 1),
        (AUTOENCODER, "training.ema=null", None),
        (AUTOENCODER, "data=null", None),
        (AUTOENCODER, "data.path=recordings", "recordings"),
        (DIFFUSION, "conditioning.conditioners.0.max_length=64", 64),
        (DIFFUSION, "conditioning.conditioners.2.max=60", 60.0),
        (PUBLISHED, "training.demo.conditions.0.prompt=rain", "rain"),
        (PUBLISHED, "conditioning.conditioners.0.model=t5-small", "t5-small"),
    ],
)
def test_values(path: Path, text: str, expected: object) -> None:
    field, _, _ = text.partition("=")
    assert value_at(path, field, text) == expected


def test_overrides_apply_in_order_and_leave_the_rest() -> None:
    changed = read_config(DIFFUSION, ["training.batch_size=8", "training.batch_size=2"])
    assert changed.training is not None
    assert changed.training.batch_size == 2
    assert read_config(DIFFUSION, ["training.batch_size=4"]) == read_config(DIFFUSION)


def test_null_and_absent_sections_are_created() -> None:
    config = read_config(PUBLISHED, ["data.path=recordings", "training.trainer.max_steps=10"])
    assert config.data is not None
    assert config.data.path == "recordings"
    assert config.training is not None
    assert config.training.trainer is not None
    assert config.training.trainer.max_steps == 10

    assert config.data == FolderConfig(path="recordings")
    sharded = read_config(PUBLISHED, ["data.type=shards", "data.path=latents"])
    assert sharded.data == ShardsConfig(path="latents")

    recreated = read_config(AUTOENCODER, ["training.ema=null", "training.ema.decay=0.5"])
    assert recreated.training is not None
    assert recreated.training.ema == EmaConfig(decay=0.5)


def test_one_item_of_a_list_that_the_file_leaves_to_its_default() -> None:
    assert value_at(DIFFUSION, "training.ema.power", "training.ema={}") == 0.75
    texts = ['training.loss={"kl": 0.1}', "training.loss.fft_sizes.6=16"]
    sizes = (2048, 1024, 512, 256, 128, 64, 16)
    assert value_at(AUTOENCODER, "training.loss.fft_sizes", *texts) == sizes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "training.optimiser.lr=1",
            '$.training: unknown field "optimiser"; allowed: "trainer", "optimizer", "schedule", '
            '"batch_size", "crop_samples", "loss", "adversarial", "train", "initialize", "ema", '
            '"initial_scale_bias", "evaluation", "seed"; '
            'did you mean "optimizer"?',
        ),
        (
            "data.folder=x",
            '$.data: unknown field "folder"; allowed: "type", "path", "manifest", "validation", '
            '"crops_per_recording", "trailing_silence", "most_unusable", "caption_share", '
            '"prompts", "whole_seconds", "polarity_flip", "loudness", "workers", "latent_cache"',
        ),
        (
            "training.optimizer.learning_rate=1",
            '$.training.optimizer: unknown field "learning_rate"; '
            'allowed: "type", "lr", "betas", "weight_decay", "offload"',
        ),
        (
            "training.batch_size=four",
            '$.training.batch_size: found "four"; allowed: an integer >= 1 and <= 65536',
        ),
        (
            "training.batch_size=4.5",
            "$.training.batch_size: found 4.5; allowed: an integer >= 1 and <= 65536",
        ),
        (
            "training.batch_size.x=4",
            '$.training.batch_size: found "x" below it, but it has no fields; '
            "allowed: an integer >= 1 and <= 65536",
        ),
        (
            "training.loss.fft_sizes.7=4",
            '$.training.loss.fft_sizes: unknown index "7"; allowed: 0 to 6',
        ),
        (
            "training.loss.reference=decode",
            '$.training.loss.reference: found "decode"; allowed: "decoded", "target"; '
            'did you mean "decoded"?',
        ),
        (
            "autoencoder.bottleneck.type=vea",
            '$.autoencoder.bottleneck.type: found "vea"; allowed: "vae"; did you mean "vae"?',
        ),
        (
            "training.batch_size",
            "found no equals sign; allowed: path.to.field=value, such as training.batch_size=4",
        ),
        ("=4", "found no path; allowed: path.to.field=value, such as training.batch_size=4"),
    ],
)
def test_mistakes_name_file_override_and_place(text: str, expected: str) -> None:
    with pytest.raises(ConfigError) as error:
        read_config(AUTOENCODER, [text])
    assert str(error.value) == f'{AUTOENCODER}: override "{text}": {expected}'


def test_overrides_that_do_not_fit_the_rest() -> None:
    with pytest.raises(ConfigError) as error:
        read_config(PUBLISHED, ["transformer.heads=7"])
    assert str(error.value) == (
        f"{PUBLISHED} (translated): $.transformer: `width` 1536 must be divisible by `heads` 7"
    )
