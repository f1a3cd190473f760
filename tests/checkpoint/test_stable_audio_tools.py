"""stable-audio-tools' layout, written from our own weights with the key map."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.builders.initial import initial_model
from stable_audio_open.checkpoint.stable_audio_tools import model_keys, unwrap
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig
from stable_audio_open.config.read import read_config
from stable_audio_open.config.stable_audio_tools import to_stable_audio_tools
from stable_audio_open.config.training import DiffusionTrainingConfig
from stable_audio_open.pretrained import StableAudio, load

Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def native(wide_model_folder: Path) -> Tensors:
    """Our own tensors; the values of the map, seen from the other side."""
    return load_file(wide_model_folder / "model.safetensors")


@pytest.fixture(scope="module")
def exported(native: Tensors, wide_model_config: DiffusionModelConfig) -> Tensors:
    return model_keys(wide_model_config).select(native).to_foreign(native)


@pytest.fixture
def folder(
    tmp_path: Path, wide_model_folder: Path, wide_model_config: DiffusionModelConfig
) -> Path:
    """A folder with configuration, text encoder and tokenizer, but without weights."""
    source, text_encoder = wide_model_folder / "text_encoder", tmp_path / "text_encoder"
    (tmp_path / "tokenizer").mkdir()
    text_encoder.mkdir()
    for path in source.iterdir():
        name = "tokenizer" if path.name.startswith("tokenizer") else "text_encoder"
        (tmp_path / name / path.name).symlink_to(path)
    write_config(tmp_path / "model_config.json", wide_model_config)
    return tmp_path


def write_config(path: Path, config: DiffusionModelConfig | AutoencoderModelConfig) -> None:
    path.write_text(json.dumps(to_stable_audio_tools(config)))


def wrapped(exported: Tensors, offset: float = 1.0, inner: str = "model.") -> Tensors:
    """A training checkpoint of a diffusion model, whose average is off by `offset`."""
    state = {f"diffusion.{name}": tensor for name, tensor in exported.items()}
    for name, tensor in exported.items():
        if name.startswith("model.model."):
            short = inner + name.removeprefix("model.model.")
            state[f"diffusion_ema.ema_model.{short}"] = tensor + offset
    extras = ("diffusion_ema.initted", "diffusion_ema.step", "losses.weight")
    return state | {name: torch.tensor([1]) for name in extras}


def check_whole(model: object, native: Tensors, *, offset: float = 0.0) -> None:
    assert isinstance(model, StableAudio)
    state = model.state_dict()
    for name, tensor in native.items():
        expected = tensor + offset if name.startswith("transformer.") else tensor
        assert torch.equal(state[name], expected), name


def autoencoder_tensors(exported: Tensors, prefix: str = "") -> Tensors:
    inside = "pretransform.model."
    return {
        prefix + name.removeprefix(inside): tensor
        for name, tensor in exported.items()
        if name.startswith(inside)
    }


def check_autoencoder(model: object, native: Tensors, *, offset: float = 0.0) -> None:
    assert isinstance(model, AudioAutoencoder)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, native[f"autoencoder.{name}"] + offset), name


@pytest.mark.slow
def test_safetensors_in_a_folder(folder: Path, exported: Tensors, native: Tensors) -> None:
    save_file({name: t.contiguous() for name, t in exported.items()}, folder / "model.safetensors")
    check_whole(load(folder, device="cpu"), native)
    check_whole(load(folder / "model.safetensors", device="cpu"), native)


def test_checkpoint_in_a_folder(folder: Path, exported: Tensors, native: Tensors) -> None:
    torch.save({"state_dict": exported}, folder / "model.ckpt")
    check_whole(load(folder, device="cpu"), native)
    check_whole(load(folder / "model.ckpt", device="cpu"), native)


def test_newer_names_of_weight_normalisation(
    folder: Path, exported: Tensors, native: Tensors
) -> None:
    g, v = (f".parametrizations.weight.original{i}" for i in (0, 1))
    renamed = {n.replace(".weight_g", g).replace(".weight_v", v): t for n, t in exported.items()}
    assert renamed.keys() != exported.keys()
    torch.save({"state_dict": renamed}, folder / "model.ckpt")
    check_whole(load(folder, device="cpu"), native)


@pytest.mark.parametrize("inner", ["model.", ""])
@pytest.mark.parametrize(("use_ema", "offset"), [(True, 1.0), (False, 0.0)])
def test_wrapped_training_checkpoint(
    folder: Path, exported: Tensors, native: Tensors, inner: str, use_ema: bool, offset: float
) -> None:
    path = folder / "epoch=1-step=2000.ckpt"
    torch.save({"state_dict": wrapped(exported, inner=inner), "global_step": 2000}, path)
    check_whole(load(path, device="cpu", use_ema=use_ema), native, offset=offset)


def test_wrapped_without_average(folder: Path, exported: Tensors, native: Tensors) -> None:
    state = {f"diffusion.{name}": tensor for name, tensor in exported.items()}
    torch.save({"state_dict": state}, folder / "run.ckpt")
    check_whole(load(folder / "run.ckpt", device="cpu"), native)


def test_half_an_average_is_refused(folder: Path, exported: Tensors) -> None:
    state = wrapped(exported)
    del state["diffusion_ema.ema_model.model.preprocess_conv.weight"]
    torch.save({"state_dict": state}, folder / "run.ckpt")
    with pytest.raises(ValueError, match=r"1 missing: model\.model\.preprocess_conv\.weight;"):
        load(folder / "run.ckpt", device="cpu")


def test_unknown_tensors_are_refused(folder: Path, exported: Tensors) -> None:
    state = wrapped(exported) | {"mystery.weight": torch.zeros(1)}
    torch.save({"state_dict": state}, folder / "run.ckpt")
    with pytest.raises(ValueError, match=r"1 unexpected: mystery\.weight;"):
        load(folder / "run.ckpt", device="cpu")


def test_training_extras_are_unknown_in_an_exported_model(exported: Tensors) -> None:
    tensors = exported | {"discriminator.weight": torch.zeros(1)}
    assert "discriminator.weight" in unwrap(tensors, use_ema=True)


@pytest.mark.parametrize("prefix", ["", "pretransform.model."])
@pytest.mark.parametrize("config_name", ["vae_config.json", "model_config.json"])
def test_autoencoder_alone(
    tmp_path: Path,
    exported: Tensors,
    native: Tensors,
    wide_model_config: DiffusionModelConfig,
    tiny_autoencoder_config: AutoencoderModelConfig,
    prefix: str,
    config_name: str,
) -> None:
    whole = config_name == "model_config.json"
    write_config(tmp_path / config_name, wide_model_config if whole else tiny_autoencoder_config)
    torch.save({"state_dict": autoencoder_tensors(exported, prefix)}, tmp_path / "vae_model.ckpt")
    check_autoencoder(load(tmp_path / "vae_model.ckpt", device="cpu"), native)
    check_autoencoder(load(tmp_path, device="cpu"), native)


@pytest.mark.parametrize(("use_ema", "offset"), [(True, 0.5), (False, 0.0)])
def test_wrapped_autoencoder(
    tmp_path: Path,
    exported: Tensors,
    native: Tensors,
    tiny_autoencoder_config: AutoencoderModelConfig,
    use_ema: bool,
    offset: float,
) -> None:
    own = autoencoder_tensors(exported)
    state = {f"autoencoder.{name}": tensor for name, tensor in own.items()}
    state |= {f"autoencoder_ema.ema_model.{name}": tensor + 0.5 for name, tensor in own.items()}
    state |= {
        "autoencoder_ema.initted": torch.tensor([True]),
        "autoencoder_ema.step": torch.tensor([7]),
        "discriminator.discriminators.0.weight": torch.zeros(2),
        "losses_gen.losses.0.weight": torch.zeros(2),
        "sdstft.window": torch.zeros(2),
    }
    torch.save({"state_dict": state}, tmp_path / "run.ckpt")
    write_config(tmp_path / "vae_config.json", tiny_autoencoder_config)
    model = load(tmp_path / "run.ckpt", device="cpu", use_ema=use_ema)
    check_autoencoder(model, native, offset=offset)


def test_a_published_folder_prefers_the_whole_model(
    folder: Path,
    exported: Tensors,
    native: Tensors,
    tiny_autoencoder_config: AutoencoderModelConfig,
) -> None:
    torch.save({"state_dict": exported}, folder / "model.ckpt")
    torch.save({"state_dict": autoencoder_tensors(exported)}, folder / "vae_model.ckpt")
    write_config(folder / "vae_config.json", tiny_autoencoder_config)
    (folder / "model_index.json").write_text("{}")
    check_whole(load(folder, device="cpu"), native)
    check_autoencoder(load(folder / "vae_model.ckpt", device="cpu"), native)


def test_a_trained_text_encoder_in_the_file(
    folder: Path, exported: Tensors, native: Tensors, wide_model_folder: Path
) -> None:
    text = load_file(wide_model_folder / "text_encoder/model.safetensors")
    prefix = "conditioner.conditioners.prompt.model."
    state = exported | {prefix + name: 2 * tensor for name, tensor in text.items()}
    torch.save({"state_dict": state}, folder / "model.ckpt")
    model = load(folder, device="cpu")
    check_whole(model, native)
    loaded = model.state_dict()
    ours = "conditioner.texts.prompt.encoder."
    assert all(torch.equal(loaded[ours + name], 2 * tensor) for name, tensor in text.items())


def test_text_projection_is_carried(exported: Tensors, native: Tensors) -> None:
    name = "conditioner.conditioners.prompt.proj_out.weight"
    assert torch.equal(exported[name], native["conditioner.texts.prompt.projection.weight"])


def test_faults_are_told_in_the_names_of_the_file(folder: Path, exported: Tensors) -> None:
    state = dict(exported)
    state["model.model.preprocess_conv.weight"] = torch.zeros(3, 3, 1)
    del state["pretransform.model.encoder.layers.0.weight_g"]
    torch.save({"state_dict": state}, folder / "model.ckpt")
    with pytest.raises(ValueError, match="does not fit") as caught:
        load(folder, device="cpu")
    assert str(caught.value) == (
        f"{folder}/model.ckpt does not fit its configuration: 1 missing: "
        "pretransform.model.encoder.layers.0.weight_g; 1 misshapen: "
        "model.model.preprocess_conv.weight [3, 3, 1] instead of [8, 8, 1]; use the configuration "
        "that the weights were trained with"
    )


def test_how_a_model_was_trained_does_not_matter_to_who_loads_or_fine_tunes_it(
    folder: Path,
    exported: Tensors,
    native: Tensors,
    wide_model_config: DiffusionModelConfig,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = folder / "model_config.json"
    other = {"pre_encoded": True, "logging": {"log_every": 20}}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"training": other}))
    save_file(exported, folder / "model.safetensors")
    check_whole(load(folder, device="cpu"), native)
    [message] = caplog.messages
    assert message.startswith(f"{path}: how the model was trained is not translated; left out: ")
    training = DiffusionTrainingConfig(
        optimizer=AdamWConfig(lr=1e-4, betas=(0.9, 0.999), weight_decay=0),
        schedule=InverseLRConfig(inv_gamma=1, power=0.5, warmup=0),
        initialize=str(folder),
    )
    start = initial_model(wide_model_config, training).state_dict()
    assert all(torch.equal(start[name], tensor) for name, tensor in native.items())
    with pytest.raises(ConfigError, match=r"\$\.training: .*"):
        read_config(path)


def test_weights_without_configuration_are_refused(tmp_path: Path, exported: Tensors) -> None:
    torch.save({"state_dict": exported}, tmp_path / "model.ckpt")
    with pytest.raises(ValueError, match="found no configuration") as caught:
        load(tmp_path / "model.ckpt", device="cpu")
    assert str(caught.value) == (
        f"{tmp_path}/model.ckpt: found no configuration; put model_config.json (or "
        "vae_config.json for an autoencoder) beside it"
    )


class TestTextEncoder:
    """Where the text encoder of a file without one comes from."""

    @pytest.fixture
    def weights(self, folder: Path, exported: Tensors) -> Path:
        torch.save({"state_dict": exported}, folder / "model.ckpt")
        return folder

    def test_from_the_folders_beside(self, weights: Path, native: Tensors) -> None:
        check_whole(load(weights, device="cpu"), native)

    def test_from_the_name_in_the_configuration(
        self, weights: Path, native: Tensors, wide_model_folder: Path
    ) -> None:
        shutil.rmtree(weights / "text_encoder")
        shutil.rmtree(weights / "tokenizer")
        (weights / "elsewhere").symlink_to(wide_model_folder / "text_encoder")
        config = weights / "model_config.json"
        named = config.read_text().replace(
            '"t5_model_name": "text_encoder"', '"t5_model_name": "X"'
        )
        config.write_text(named.replace('"X"', '"elsewhere"'))
        check_whole(load(weights, device="cpu"), native)

    def test_from_the_argument(
        self, weights: Path, native: Tensors, wide_model_folder: Path
    ) -> None:
        shutil.rmtree(weights / "text_encoder")
        shutil.rmtree(weights / "tokenizer")
        model = load(weights, device="cpu", text_encoder=wide_model_folder / "text_encoder")
        check_whole(model, native)

    def test_a_broken_one_is_refused(self, weights: Path) -> None:
        (weights / "text_encoder/model.safetensors").unlink()
        (weights / "text_encoder/model.safetensors").write_bytes(b"broken")
        with pytest.raises(
            ValueError, match=r"^cannot load the text encoder .*; pass text_encoder="
        ):
            load(weights, device="cpu")

    def test_one_with_missing_tensors_is_refused(self, weights: Path) -> None:
        path = weights / "text_encoder/model.safetensors"
        tensors = load_file(path)
        del tensors["encoder.final_layer_norm.weight"]
        path.unlink()
        save_file(tensors, path, metadata={"format": "pt"})
        with pytest.raises(
            ValueError, match=r"1 of its tensors are missing, such as encoder\.final_layer_norm"
        ):
            load(weights, device="cpu")
