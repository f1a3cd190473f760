import os
from pathlib import Path

import pytest
import torch

from stable_audio_open.builders.model import TextEncoder
from stable_audio_open.generate import generate
from stable_audio_open.nn.fourier import FourierFeatures
from stable_audio_open.nn.rotary import RotaryEmbedding
from stable_audio_open.pretrained import StableAudio, load

TEXT = "conditioner.texts.prompt.encoder."


@pytest.fixture
def model(tiny_model_folder: Path) -> StableAudio:
    return StableAudio.from_pretrained(tiny_model_folder, device="cpu")


def test_the_model_says_what_it_is(model: StableAudio) -> None:
    assert model.config.name == "small"
    assert model.window_seconds == 1.0
    assert not any(module.training for module in model.modules())


def test_generate_is_the_story(model: StableAudio) -> None:
    settings = {"duration": 0.3, "steps": 2, "seed": 3, "progress": False}
    ours, story = model.generate("deep kick", **settings), generate(model, "deep kick", **settings)
    assert torch.equal(ours.samples, story.samples)
    assert ours.seeds == story.seeds == (3,)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", torch.bfloat16, "float64"])
def test_type_of_the_weights(tiny_model_folder: Path, dtype: str | torch.dtype) -> None:
    model = load(tiny_model_folder, device="cpu", dtype=dtype)
    expected = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    wide = torch.promote_types(expected, torch.float32)
    for name, module in model.named_modules():
        frequencies = isinstance(module, FourierFeatures | RotaryEmbedding)
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if (name + ".").startswith(TEXT):
                assert tensor.dtype == torch.float32
            else:
                assert tensor.dtype == (wide if frequencies else expected), name


@pytest.mark.slow
def test_half_precision_stays_close(tiny_model_folder: Path, model: StableAudio) -> None:
    half = StableAudio.from_pretrained(tiny_model_folder, device="cpu", dtype="bfloat16")
    settings = {"duration": 0.5, "steps": 4, "seed": 1, "progress": False, "guidance_scale": 1.0}
    whole = model.generate("bass", **settings).samples
    error = (half.generate("bass", **settings).samples - whole).std() / whole.std()
    # bfloat16 has 8 bits; rounded frequencies alone would give an error of order 1.
    assert error < 0.05


def test_a_text_encoder_can_be_handed_in(
    tiny_model_folder: Path, tiny_text_encoder: TextEncoder
) -> None:
    pair = (tiny_text_encoder.tokenizer, tiny_text_encoder.encoder)
    model = load(tiny_model_folder, device="cpu", dtype="bfloat16", text_encoder=pair)
    assert isinstance(model, StableAudio)
    assert model.conditioner.texts["prompt"].encoder is tiny_text_encoder.encoder
    assert {p.dtype for p in tiny_text_encoder.encoder.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "gpu"}, "unknown device 'gpu'; choose from auto, cpu, cuda, mps"),
        ({"device": "meta"}, "unknown device 'meta'; choose from auto, cpu, cuda, mps"),
        ({"dtype": "float8"}, "unknown dtype 'float8'; choose from float32, float16, bfloat16, fl"),
        ({"dtype": torch.int8}, "unknown dtype 'torch.int8'; choose from float32, float16, bfloa"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not here (found "),
    ],
)
def test_unknown_devices_and_types_are_refused(
    tiny_model_folder: Path, settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=r"device|dtype") as caught:
        load(tiny_model_folder, **settings)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("source", ["tinny", "no/such/model", "runs/last.ckpt", "./mine/model"])
def test_an_unknown_source_is_refused(source: str) -> None:
    with pytest.raises(ValueError, match=r"^no model") as caught:
        load(source)
    near = '; did you mean "tiny"?' if source == "tinny" else ""
    assert str(caught.value) == (
        f"no model {source!r}; allowed: 'tiny' (bundled), a folder or file that exists, or a hub "
        f"name such as 'stabilityai/stable-audio-open-1.0'{near}"
    )


def test_a_path_is_never_a_hub_name() -> None:
    with pytest.raises(ValueError, match=r"^no model"):
        load(Path("someone/model"))


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no checkpoint") as caught:
        load(os.fspath(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: found no checkpoint; allowed: config.json and model.safetensors, or "
        "model_config.json and model.safetensors or model.ckpt, or model_index.json"
    )


def test_a_missing_text_encoder_is_told(tmp_path: Path, tiny_model_folder: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).symlink_to(tiny_model_folder / name)
    with pytest.raises(ValueError, match="found no folder") as caught:
        load(tmp_path, device="cpu")
    assert str(caught.value) == (
        f"{tmp_path}/model.safetensors: found no folder 'text_encoder' beside it; pass "
        "text_encoder= a folder or hub name of the T5 encoder that it was trained with"
    )


def test_a_folder_without_a_text_encoder_is_told(tmp_path: Path, tiny_model_folder: Path) -> None:
    with pytest.raises(ValueError, match=r"^cannot load the text encoder ") as caught:
        load(tiny_model_folder, device="cpu", text_encoder=tmp_path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(
        "; pass text_encoder= a folder that holds a T5 encoder and its tokenizer"
    )
