"""Models that are pickled, copied, saved and loaded: what comes back is the same."""

import copy
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stable_audio_open import AudioAutoencoder, StableAudio, load_autoencoder
from stable_audio_open.checkpoint.export import save_stable_audio_tools
from stable_audio_open.checkpoint.lora.adapter import Adapter, save_adapter
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.read import model_part
from stable_audio_open.pretrained import load

REQUEST = {"duration": 0.3, "steps": 2, "seed": 3, "progress": False}


def through_torch(model: nn.Module) -> Any:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


TRIPS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "copy": copy.deepcopy,
    "torch": through_torch,
}


def aligned(model: Any) -> Any:
    """Copy a model out of the file that it is mapped from.

    Where weights lie in memory decides about kernels, and so about the last bits.
    """
    return copy.deepcopy(model)


@pytest.fixture(params=TRIPS)
def trip(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    return TRIPS[request.param]


@pytest.fixture
def adapter(tmp_path: Path, tiny_model_folder: Path) -> Path:
    transformer = StableAudio.from_pretrained(tiny_model_folder, device="cpu").transformer
    name, layer = "output_projection", transformer.output_projection
    random = torch.Generator().manual_seed(0)
    adapter = Adapter(
        down={name: torch.randn(2, layer.in_features, generator=random)},
        up={name: torch.randn(layer.out_features, 2, generator=random)},
        scale=1.0,
        settings={"peft_type": "LORA", "r": 2, "lora_alpha": 2},
        source="random",
    )
    save_adapter(adapter, tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.fixture
def model(tiny_model_folder: Path, adapter: Path) -> StableAudio:
    """A model with an adapter and no setting at its default."""
    model = StableAudio.from_pretrained(
        tiny_model_folder, device="cpu", dtype="bfloat16", attention="math", lora=[(adapter, 0.5)]
    )
    model.autoencoder.iterate_batch = True
    model.autoencoder.scale = 0.35
    model.transformer.activation_checkpointing = "full"
    model.transformer.requires_grad_(False)
    return aligned(model)


def assert_same(again: nn.Module, model: nn.Module) -> None:
    assert type(again) is type(model)
    assert repr(again) == repr(model)
    state = model.state_dict()
    assert again.state_dict().keys() == state.keys()
    for name, tensor in again.state_dict().items():
        assert tensor.dtype == state[name].dtype
        assert torch.equal(tensor, state[name]), name
    for (name, ours), (_, theirs) in zip(again.named_modules(), model.named_modules(), strict=True):
        assert (name, ours.training) == (name, theirs.training)
    trained = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    assert {k: p.requires_grad for k, p in again.named_parameters()} == trained


def settings(model: StableAudio) -> dict[str, Any]:
    """What is neither a weight nor shown by `repr`."""
    parts = {"": model, "autoencoder": model.autoencoder, "transformer": model.transformer}
    return {
        f"{name}.{key}": value
        for name, part in parts.items()
        for key, value in vars(part).items()
        if not key.startswith("_")
    }


def test_a_whole_model_comes_back(model: StableAudio, trip: Callable[[Any], StableAudio]) -> None:
    model.autoencoder.decoder_margin  # noqa: B018, which is computed once
    again = trip(model)
    assert_same(again, model)
    assert settings(again) == settings(model)
    assert again.config == model.config
    prompts = ["deep kick", "soft bell"]
    ours, theirs = again.generate(prompts, **REQUEST), model.generate(prompts, **REQUEST)
    assert torch.equal(ours.samples, theirs.samples)
    assert ours.seeds == theirs.seeds


def test_an_autoencoder_comes_back(
    tiny_autoencoder_folder: Path, trip: Callable[[Any], AudioAutoencoder]
) -> None:
    model = aligned(load_autoencoder(tiny_autoencoder_folder, device="cpu"))
    again = trip(model)
    assert_same(again, model)
    assert again.config == model.config
    audio = torch.randn(1, 2, 9000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again.reconstruct(audio), model.reconstruct(audio))


def test_what_comes_back_is_apart_and_trains(
    tiny_autoencoder_folder: Path, trip: Callable[[Any], AudioAutoencoder]
) -> None:
    model = aligned(load_autoencoder(tiny_autoencoder_folder, device="cpu"))
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    again = trip(model)
    latents = torch.randn(1, 8, 5, generator=torch.Generator().manual_seed(0))
    for network in (model, again):
        network.decode(latents, chunked=False).square().mean().backward()
    gradients = {name: parameter.grad for name, parameter in model.decoder.named_parameters()}
    for name, parameter in again.decoder.named_parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0 or "bias" in name
        assert torch.equal(parameter.grad, gradients[name]), name
        parameter.data.add_(1.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    again.load_state_dict(before)
    assert torch.equal(again.decode(latents), model.decode(latents))


@pytest.mark.slow
def test_another_process_takes_the_pickle(tmp_path: Path, model: StableAudio) -> None:
    torch.save(model, tmp_path / "model.pt")
    code = (
        "import torch\n"
        "model = torch.load('model.pt', weights_only=False)\n"
        f"torch.save(model.generate('deep kick', **{REQUEST}).samples, 'samples.pt')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    samples: Tensor = torch.load(tmp_path / "samples.pt")
    assert torch.equal(samples, model.generate("deep kick", **REQUEST).samples)


@pytest.mark.slow
def test_a_whole_model_is_saved(tmp_path: Path, tiny_model_folder: Path, adapter: Path) -> None:
    """With the adapter in the weights, and its own text encoder."""
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu", lora=[(adapter, 0.5)])
    plain = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    model.save_pretrained(tmp_path / "saved")
    again = StableAudio.from_pretrained(tmp_path / "saved", device="cpu")
    assert_same(again, model)
    assert again.config == model.config
    ours, theirs, others = (
        aligned(one).generate("deep kick", **REQUEST).samples for one in (again, model, plain)
    )
    assert torch.equal(ours, theirs)
    assert not torch.allclose(ours, others)


def test_an_autoencoder_is_saved(tmp_path: Path, tiny_model_folder: Path) -> None:
    whole = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    whole.autoencoder.save_pretrained(tmp_path / "saved", dtype="float16")
    for again in (load(tmp_path / "saved"), AudioAutoencoder.from_pretrained(tmp_path / "saved")):
        assert isinstance(again, AudioAutoencoder)
        assert again.config == whole.autoencoder.config
        for name, tensor in again.state_dict().items():
            assert torch.equal(tensor, whole.autoencoder.state_dict()[name].half().float())
    assert sorted(p.name for p in (tmp_path / "saved").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]


def test_the_configuration_of_a_part_is_its_own(
    tiny_model_folder: Path, tiny_model_config: DiffusionModelConfig
) -> None:
    config = load_autoencoder(tiny_model_folder, device="cpu").config
    assert config == AutoencoderModelConfig(
        name=tiny_model_config.name,
        sample_rate=tiny_model_config.sample_rate,
        audio_channels=tiny_model_config.audio_channels,
        autoencoder=tiny_model_config.autoencoder,
    )
    assert model_part(config) == config


@pytest.mark.parametrize("layout", ["native", "stable-audio-tools"])
def test_the_autoencoder_of_a_whole_model(
    tmp_path: Path, wide_model_folder: Path, layout: str
) -> None:
    """No text encoder is needed."""
    whole = StableAudio.from_pretrained(wide_model_folder, device="cpu")
    folder = tmp_path / "model"
    if layout == "native":
        folder.mkdir()
        for name in ("config.json", "model.safetensors"):
            (folder / name).symlink_to(wide_model_folder / name)
    else:
        save_stable_audio_tools(whole, whole.config, folder)
    alone = AudioAutoencoder.from_pretrained(folder, device="cpu")
    assert_same(alone, whole.autoencoder)


def test_the_bundled_autoencoder() -> None:
    alone = AudioAutoencoder.from_pretrained("tiny", device="cpu", dtype="bfloat16")
    whole = StableAudio.from_pretrained("tiny", device="cpu", dtype="bfloat16")
    assert_same(alone, whole.autoencoder)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["native", "run"])
def test_an_autoencoder_alone_is_that_of_load(
    tmp_path: Path, tiny_autoencoder_folder: Path, layout: str
) -> None:
    source = tiny_autoencoder_folder
    if layout == "run":
        state = load(source, device="cpu").state_dict()
        content = {"model." + name: tensor for name, tensor in state.items()}
        content |= {"ema." + name: tensor + 1 for name, tensor in state.items()}
        header = {"format": 1, "config": (source / "config.json").read_text()}
        source = tmp_path / "last.ckpt"
        torch.save({"state_dict": content, "stable_audio_open": header}, source)
    for use_ema in (True, False):
        alone = load_autoencoder(source, device="cpu", use_ema=use_ema)
        assert_same(alone, load(source, device="cpu", use_ema=use_ema))


def test_an_unknown_autoencoder_is_refused() -> None:
    with pytest.raises(ValueError, match=r"""^no model 'tinny'; .*; did you mean "tiny"\?$"""):
        AudioAutoencoder.from_pretrained("tinny")
    with pytest.raises(ValueError, match=r"^unknown dtype 'int8'; choose from float32, float16"):
        load_autoencoder("tiny", dtype="int8")


def test_an_older_model_is_replaced(tmp_path: Path, tiny_model_folder: Path) -> None:
    """Also the one that was loaded from the folder, whose weights are mapped from its file."""
    folder = tmp_path / "empty"
    folder.mkdir()
    StableAudio.from_pretrained(tiny_model_folder, device="cpu").save_pretrained(folder)
    (folder / "README.md").write_text("a card")
    model = StableAudio.from_pretrained(folder, device="cpu")
    with torch.no_grad():
        model.transformer.input_projection.weight.add_(1.0)
    model.save_pretrained(folder)
    assert_same(StableAudio.from_pretrained(folder, device="cpu"), model)
    assert (folder / "README.md").read_text() == "a card"
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_failed_save_leaves_nothing(tmp_path: Path, tiny_model_folder: Path) -> None:
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    model.conditioner.texts["prompt"].tokenizer = str.split  # type: ignore[assignment]
    with pytest.raises(AttributeError, match="save_pretrained"):
        model.save_pretrained(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
