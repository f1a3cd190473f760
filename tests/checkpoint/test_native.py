import json
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.autoencoder import build_autoencoder
from stable_audio_open.checkpoint import native
from stable_audio_open.checkpoint.native import save_native
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.read import decode_config, model_part, read_config
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.pretrained_autoencoder import load_autoencoder


def whole(source: Path, **settings: object) -> StableAudio:
    model = load(source, device="cpu", **settings)  # type: ignore[arg-type]
    assert isinstance(model, StableAudio)
    return model


def test_the_folder_holds_what_it_should(
    tiny_model_folder: Path, tiny_model_config: DiffusionModelConfig
) -> None:
    files = {str(path.relative_to(tiny_model_folder)) for path in tiny_model_folder.rglob("*.*")}
    assert files == {
        "config.json",
        "model.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "text_encoder/tokenizer.json",
        "text_encoder/tokenizer_config.json",
    }
    with safe_open(tiny_model_folder / "model.safetensors", framework="pt") as file:
        header = file.metadata()
        names = list(file.keys())
    assert header["format"] == "stable_audio_open"
    config = model_part(tiny_model_config)
    assert decode_config(header["config"], source="header") == config
    assert read_config(tiny_model_folder / "config.json") == config
    assert {name.partition(".")[0] for name in names} == {
        "autoencoder",
        "conditioner",
        "transformer",
    }
    assert not [name for name in names if "encoder.block" in name and "texts" in name]


def test_saved_and_loaded_is_the_same(tmp_path: Path, tiny_model_folder: Path) -> None:
    model = whole(tiny_model_folder)
    save_native(model, model.config, tmp_path / "copy")
    again = whole(tmp_path / "copy")
    state = model.state_dict()
    assert again.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())
    assert again.config == model.config
    assert not again.training
    assert next(again.transformer.parameters()).requires_grad


def test_the_lone_file_is_enough(tmp_path: Path, tiny_model_folder: Path) -> None:
    path = tmp_path / "moved.safetensors"
    path.write_bytes((tiny_model_folder / "model.safetensors").read_bytes())
    text_encoder = tiny_model_folder / "text_encoder"
    model = whole(path, text_encoder=text_encoder)
    state = whole(tiny_model_folder).state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())


def test_an_autoencoder_alone(tiny_autoencoder_folder: Path) -> None:
    model = load(tiny_autoencoder_folder, device="cpu")
    assert isinstance(model, AudioAutoencoder)
    names = {name.partition(".")[0] for name in load_file(tiny_autoencoder_folder / native.WEIGHTS)}
    assert names == {"encoder", "decoder"}
    with pytest.raises(ValueError, match="is an autoencoder alone; load it with stable_audio_ope"):
        StableAudio.from_pretrained(tiny_autoencoder_folder, device="cpu")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_on_disk_spares_the_frequencies(
    tmp_path: Path, tiny_model_folder: Path, dtype: torch.dtype
) -> None:
    model = whole(tiny_model_folder)
    save_native(model, model.config, tmp_path / "half", dtype=dtype)
    stored = load_file(tmp_path / "half" / native.WEIGHTS)
    precise = {name for name, tensor in stored.items() if tensor.dtype == torch.float32}
    assert precise == {
        "transformer.rotary.inverse_frequencies",
        "transformer.time_features.weight",
        "conditioner.numbers.seconds_start.features.weight",
        "conditioner.numbers.seconds_total.features.weight",
    }
    assert {t.dtype for n, t in stored.items() if n not in precise} == {dtype}
    text = load_file(tmp_path / "half" / "text_encoder" / native.WEIGHTS)
    assert {tensor.dtype for tensor in text.values()} == {dtype}

    again, state = whole(tmp_path / "half"), model.state_dict()
    for name, tensor in again.state_dict().items():
        assert tensor.dtype == torch.float32
        expected = state[name] if name in precise else state[name].to(dtype).float()
        assert torch.equal(tensor, expected), name


def test_files_are_as_readable_as_the_others(tmp_path: Path, tiny_model_folder: Path) -> None:
    model = whole(tiny_model_folder)
    save_native(model, model.config, tmp_path / "model")
    (tmp_path / "other").touch()
    mode = stat.S_IMODE((tmp_path / "other").stat().st_mode)
    for path in (tmp_path / "model").rglob("*.safetensors"):
        assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_failed_save_leaves_the_old_checkpoint(
    tmp_path: Path, tiny_autoencoder_config: AutoencoderModelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    save_native(build_autoencoder(tiny_autoencoder_config), tiny_autoencoder_config, folder)
    (folder / "README.md").write_text("a card")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(tensors: object, path: Path, **settings: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr("stable_audio_open.checkpoint.folder.save_file", full)
        with pytest.raises(OSError, match="No space left"):
            save_native(build_autoencoder(tiny_autoencoder_config), tiny_autoencoder_config, folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]

    save_native(build_autoencoder(tiny_autoencoder_config), tiny_autoencoder_config, folder)
    assert (folder / "README.md").read_text() == "a card"
    assert (folder / native.WEIGHTS).read_bytes() != before[native.WEIGHTS]


def test_a_configuration_of_another_model_is_told(
    tmp_path: Path, tiny_autoencoder_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It may fit the weights, and their sounds are others: a scale, a sample rate."""
    for path in tiny_autoencoder_folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    load_autoencoder(tmp_path)
    assert caplog.messages == []
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").unlink()
    config = json.loads(text)
    config["sample_rate"] = 22050
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert load_autoencoder(tmp_path).sample_rate == 22050
    assert caplog.messages == [
        f"{tmp_path / 'config.json'}: is not the configuration that model.safetensors was saved "
        "with ($.sample_rate: found 16000 there and found 22050 here); it is used; "
        "unless it was changed on purpose, take both from one place"
    ]


def test_saving_over_a_file_is_refused(
    tmp_path: Path, tiny_autoencoder_config: AutoencoderModelConfig
) -> None:
    (tmp_path / "model").touch()
    model = build_autoencoder(tiny_autoencoder_config)
    with pytest.raises(ValueError, match="found a file; allowed: a folder, existing or new"):
        save_native(model, tiny_autoencoder_config, tmp_path / "model")


def test_a_checkpoint_of_another_size_is_refused(
    tmp_path: Path, tiny_autoencoder_folder: Path
) -> None:
    for path in tiny_autoencoder_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(
        text.replace('"latent_channels": 8', '"latent_channels": 6')
    )
    with pytest.raises(ValueError, match="does not fit its configuration") as caught:
        load(tmp_path, device="cpu")
    assert str(caught.value) == (
        f"{tmp_path}/model.safetensors does not fit its configuration: 4 misshapen: "
        "encoder.output.bias [16] instead of [12], "
        "encoder.output.parametrizations.weight.original0 [16, 1, 1] instead of [12, 1, 1], "
        "encoder.output.parametrizations.weight.original1 [16, 8, 3] instead of [12, 8, 3], "
        "decoder.input.parametrizations.weight.original1 [8, 8, 7] instead of [8, 6, 7]; use the "
        "configuration that the weights were trained with"
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda t: t.pop("transformer.input_conv.weight"), "1 missing: transformer.input_conv.we"),
        (lambda t: t.update(extra=torch.zeros(1)), "1 unexpected: extra;"),
    ],
)
def test_missing_and_unexpected_tensors_are_refused(
    tmp_path: Path,
    tiny_model_folder: Path,
    change: Callable[[dict[str, object]], object],
    fault: str,
) -> None:
    tensors = load_file(tiny_model_folder / native.WEIGHTS)
    change(tensors)
    save_file(tensors, tmp_path / native.WEIGHTS)
    (tmp_path / "config.json").symlink_to(tiny_model_folder / "config.json")
    with pytest.raises(ValueError, match=fault):
        load(tmp_path, device="cpu", text_encoder=tiny_model_folder / "text_encoder")


def test_a_file_without_configuration_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"format": "stable_audio_open"})
    with pytest.raises(ValueError, match="found no configuration inside; load the folder that ho"):
        load(path, device="cpu")


class TestTrainingCheckpoint:
    """The `.ckpt` files of our Lightning modules."""

    @pytest.fixture
    def autoencoder_run(self, tmp_path: Path, tiny_autoencoder_folder: Path) -> Path:
        weights = load_file(tiny_autoencoder_folder / native.WEIGHTS)
        state = {f"model.{name}": tensor for name, tensor in weights.items()}
        state |= {f"ema.{name}": tensor + 1 for name, tensor in weights.items()}
        state["loss.taps"] = torch.zeros(3)
        return self.write(tmp_path, state, tiny_autoencoder_folder)

    @pytest.fixture
    def diffusion_run(self, tmp_path: Path, tiny_model_folder: Path) -> Path:
        weights = load_file(tiny_model_folder / native.WEIGHTS)
        state = {f"model.{name}": tensor for name, tensor in weights.items()}
        state |= {
            f"ema.{name.removeprefix('transformer.')}": tensor + 1
            for name, tensor in weights.items()
            if name.startswith("transformer.")
        }
        (tmp_path / "text_encoder").symlink_to(tiny_model_folder / "text_encoder")
        return self.write(tmp_path, state, tiny_model_folder)

    @staticmethod
    def write(folder: Path, state: dict[str, torch.Tensor], source: Path) -> Path:
        config = (source / "config.json").read_text()
        path = folder / "last.ckpt"
        header = {"format": 1, "config": config}
        torch.save({"state_dict": state, "stable_audio_open": header, "epoch": 3}, path)
        return path

    @pytest.mark.parametrize(("use_ema", "offset"), [(True, 1), (False, 0)])
    def test_autoencoder(
        self, autoencoder_run: Path, tiny_autoencoder_folder: Path, use_ema: bool, offset: float
    ) -> None:
        state = load(autoencoder_run, device="cpu", use_ema=use_ema).state_dict()
        weights = load_file(tiny_autoencoder_folder / native.WEIGHTS)
        assert all(torch.equal(state[name], weights[name] + offset) for name in weights)

    @pytest.mark.slow
    @pytest.mark.parametrize(("use_ema", "offset"), [(True, 1), (False, 0)])
    def test_diffusion(
        self, diffusion_run: Path, tiny_model_folder: Path, use_ema: bool, offset: float
    ) -> None:
        state = whole(diffusion_run, use_ema=use_ema).state_dict()
        for name, tensor in load_file(tiny_model_folder / native.WEIGHTS).items():
            expected = tensor + offset if name.startswith("transformer.") else tensor
            assert torch.equal(state[name], expected), name

    def test_a_trained_text_encoder_comes_from_the_checkpoint(
        self, diffusion_run: Path, tiny_model_folder: Path
    ) -> None:
        content = torch.load(diffusion_run, weights_only=True)
        text = load_file(tiny_model_folder / "text_encoder" / native.WEIGHTS)
        prefix = "conditioner.texts.prompt.encoder."
        content["state_dict"] |= {f"model.{prefix}{name}": t * 2 for name, t in text.items()}
        torch.save(content, diffusion_run)
        state = whole(diffusion_run).state_dict()
        assert all(torch.equal(state[prefix + name], 2 * text[name]) for name in text)

    def test_half_an_average_is_refused(self, diffusion_run: Path) -> None:
        content = torch.load(diffusion_run, weights_only=True)
        del content["state_dict"]["ema.input_conv.weight"]
        torch.save(content, diffusion_run)
        with pytest.raises(ValueError, match=r"1 missing: transformer\.input_conv\.weight"):
            load(diffusion_run, device="cpu")

    @pytest.mark.parametrize(
        ("name", "use_ema"),
        [
            ("more.ema.encoder.x", True),
            ("more.ema.encoder.x", False),
            ("lossy.x", True),
            ("ema.more", True),
            ("model.more", False),
        ],
    )
    def test_unknown_tensors_beside_an_average_are_refused(
        self, autoencoder_run: Path, name: str, use_ema: bool
    ) -> None:
        content = torch.load(autoencoder_run, weights_only=True)
        content["state_dict"][name] = torch.zeros(1)
        torch.save(content, autoencoder_run)
        with pytest.raises(ValueError, match=r"1 unexpected: (more|lossy)"):
            load(autoencoder_run, device="cpu", use_ema=use_ema)

    def test_a_weight_that_is_there_twice_is_refused(self, autoencoder_run: Path) -> None:
        content = torch.load(autoencoder_run, weights_only=True)
        name = next(iter(content["state_dict"])).removeprefix("model.")
        content["state_dict"][name] = torch.zeros(1)
        torch.save(content, autoencoder_run)
        with pytest.raises(ValueError, match=rf"holds {re.escape(name)} twice, once without"):
            load(autoencoder_run, device="cpu")

    def test_unknown_tensors_are_refused(self, diffusion_run: Path) -> None:
        content = torch.load(diffusion_run, weights_only=True)
        content["state_dict"]["lossy.x"] = torch.zeros(1)
        torch.save(content, diffusion_run)
        with pytest.raises(ValueError, match=r"1 unexpected: lossy\.x"):
            load(diffusion_run, device="cpu")
