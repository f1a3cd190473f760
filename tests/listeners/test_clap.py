import math
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
)

from stable_audio_open.listeners.clap import ClapEmbedder
from stable_audio_open.listeners.embedder import recording_vector
from stable_audio_open.listeners.named import load_embedder


@pytest.fixture(scope="module", params=["rand_trunc", "fusion"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ClapModel with random weights, of both kinds that are published."""
    fusion = request.param == "fusion"
    config = ClapConfig(
        text_config=ClapTextConfig(
            vocab_size=10, hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
            intermediate_size=8, projection_dim=16,
        ).to_dict(),
        audio_config=ClapAudioConfig(
            spec_size=64, hidden_size=16, patch_embeds_hidden_size=8, depths=[1, 1],
            num_attention_heads=[1, 2], num_hidden_layers=2, window_size=4, projection_dim=16,
            num_mel_bins=16, enable_fusion=fusion, patch_embed_input_channels=1,
        ).to_dict(),
        projection_dim=16,
    )  # fmt: skip
    target: Path = tmp_path_factory.mktemp("clap") / request.param
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ClapModel(config).save_pretrained(target)
    ClapFeatureExtractor(
        feature_size=16, sampling_rate=8000, hop_length=80, max_length_s=2, fft_window_size=256,
        frequency_min=50, frequency_max=4000, truncation=request.param,
    ).save_pretrained(target)  # fmt: skip
    return target


def noise(seconds: float, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(int(8000 * seconds), generator=torch.Generator().manual_seed(seed))


def test_vectors_are_normal_and_leave_nothing_to_chance(folder: Path) -> None:
    embedder = load_embedder(f"clap:{folder}")
    assert embedder.sample_rate == 8000
    assert re.fullmatch(rf"clap:{folder.name}:[0-9a-f]{{12}}", embedder.name)
    for seconds in (0.3, 2.0, 4.7):
        vectors = embedder(noise(seconds))
        assert vectors.shape == (math.ceil(seconds / 2), 16)
        vector = recording_vector(embedder, noise(seconds))
        torch.testing.assert_close(vector.norm(), torch.tensor(1.0))
        assert torch.equal(vectors, embedder(noise(seconds)))
    assert not torch.allclose(embedder(noise(2)), embedder(noise(2, seed=1)), atol=1e-4)


def test_a_long_recording_is_the_mean_of_windows_that_cover_it(folder: Path) -> None:
    embedder = ClapEmbedder(folder)
    long = noise(5)
    vectors = torch.cat([embedder(long[start : start + 16000]) for start in (0, 12000, 24000)])
    torch.testing.assert_close(embedder(long), vectors)
    mean = vectors.mean(dim=0)
    torch.testing.assert_close(recording_vector(embedder, long), mean / mean.norm())


def test_the_name_tells_checkpoints_apart(folder: Path, tmp_path: Path) -> None:
    embedder = ClapEmbedder(folder)
    other = tmp_path / folder.name
    with torch.no_grad():
        next(embedder.model.audio_model.parameters()).mul_(2)
    embedder.model.save_pretrained(other)
    embedder.extractor.save_pretrained(other)
    assert ClapEmbedder(other).name != embedder.name


def test_missing_weights_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "less")
    path = tmp_path / "less" / "model.safetensors"
    weights = load_file(path)
    del weights["audio_projection.linear1.weight"]
    save_file(weights, path, {"format": "pt"})
    message = r"less: lacks 1 weights of ClapModel, audio_projection\.linear1\.weight first"
    with pytest.raises(ValueError, match=message):
        ClapEmbedder(tmp_path / "less")


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"config\.json, preprocessor_config\.json missing\); down"
    ):
        ClapEmbedder(tmp_path)
    with pytest.raises(ValueError, match="no embedder 'vgg:x'; allowed: clap:FOLDER, musicnn"):
        load_embedder("vgg:x")
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match="not a checkpoint of ClapModel"):
        ClapEmbedder(tmp_path)
