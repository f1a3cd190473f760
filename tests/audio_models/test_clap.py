import hashlib
import json
import math
import re
import shutil
from pathlib import Path

import numpy as np
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

from stable_audio_open.audio_models.clap.checkpoint import load_clap
from stable_audio_open.audio_models.clap.network import ClapEmbedder
from stable_audio_open.audio_models.embedder import recording_vector
from stable_audio_open.audio_models.registry import EMBEDDERS

pytestmark = pytest.mark.numerical

VOCABULARY = {
    token: number
    for number, token in enumerate(
        ["<s>", "<pad>", "</s>", "<unk>", *"Ġabcdefghijklmnopq", "<mask>"]
    )
}


def write_vocabulary(folder: Path) -> None:
    """RoBERTa's files, for lower-case letters."""
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY))
    (folder / "merges.txt").write_text("#version: 0.2\n")


def small_model(
    truncation: str, *, bands: int = 16, spec_size: int = 64
) -> tuple[ClapModel, ClapFeatureExtractor]:
    config = ClapConfig(
        text_config=ClapTextConfig(
            vocab_size=len(VOCABULARY), hidden_size=8, num_hidden_layers=1, num_attention_heads=1,
            intermediate_size=8, projection_dim=16, max_position_embeddings=80,
        ).to_dict(),
        audio_config=ClapAudioConfig(
            spec_size=spec_size, hidden_size=16, patch_embeds_hidden_size=8, depths=[1, 1],
            num_attention_heads=[1, 2], num_hidden_layers=2, window_size=4, projection_dim=16,
            num_mel_bins=bands, enable_fusion=truncation == "fusion", patch_embed_input_channels=1,
        ).to_dict(),
        projection_dim=16,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ClapModel(config)
    extractor = ClapFeatureExtractor(
        feature_size=bands, sampling_rate=8000, hop_length=80, max_length_s=2, fft_window_size=256,
        frequency_min=50, frequency_max=4000, truncation=truncation,
    )  # fmt: skip
    return model, extractor


@pytest.fixture(scope="module", params=["rand_trunc", "fusion"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ClapModel with random weights, of both kinds that are published."""
    target: Path = tmp_path_factory.mktemp("clap") / request.param
    for part in small_model(request.param):
        part.save_pretrained(target)
    write_vocabulary(target)
    return target


def noise(seconds: float, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(int(8000 * seconds), generator=torch.Generator().manual_seed(seed))


def test_vectors_are_normal_and_leave_nothing_to_chance(folder: Path) -> None:
    embedder = EMBEDDERS.load(f"clap:{folder}")
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
    embedder = load_clap(folder)
    long = noise(5)
    vectors = torch.cat([embedder(long[start : start + 16000]) for start in (0, 12000, 24000)])
    torch.testing.assert_close(embedder(long), vectors)
    mean = vectors.mean(dim=0)
    torch.testing.assert_close(recording_vector(embedder, long), mean / mean.norm())


def test_the_name_tells_checkpoints_apart(folder: Path, tmp_path: Path) -> None:
    embedder = load_clap(folder)
    other = tmp_path / folder.name
    with torch.no_grad():
        next(embedder.model.audio_model.parameters()).mul_(2)
    embedder.model.save_pretrained(other)
    embedder.extractor.save_pretrained(other)
    assert load_clap(other).name != embedder.name


def test_texts_are_tokens_of_roberta_up_to_77(folder: Path) -> None:
    embedder = load_clap(folder)
    texts = ["a bad cab", "deaf"]
    found = embedder.embed_text(texts)
    assert found.shape == (2, 16)
    model = embedder.model
    for text, vector in zip(texts, found, strict=True):
        letters = [VOCABULARY["Ġ" if letter == " " else letter] for letter in text]
        with torch.inference_mode():
            hidden = model.text_model(torch.tensor([[0, *letters, 2]])).pooler_output
            wanted = model.text_projection(hidden)[0]
        torch.testing.assert_close(vector, wanted / wanted.norm())
    # The padding of a shorter text says nothing, and a long one is cut.
    torch.testing.assert_close(embedder.embed_text(texts[1:])[0], found[1])
    long = embedder.embed_text(["a" * 75, "a" * 75 + "b", "a" * 74 + "b"])
    torch.testing.assert_close(long[0], long[1])
    assert not torch.allclose(long[0], long[2])
    many = embedder.embed_text(["a", "b"] * 20)
    torch.testing.assert_close(many, embedder.embed_text(["a", "b"]).repeat(20, 1))


def test_texts_that_cannot_be_embedded(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no texts to embed"):
        load_clap(folder).embed_text([])
    shutil.copytree(folder, tmp_path / "x")
    (tmp_path / "x" / "vocab.json").write_text(json.dumps(VOCABULARY | {"r": len(VOCABULARY)}))
    with pytest.raises(ValueError, match="the vocabulary has 24 tokens, but the model 23"):
        load_clap(tmp_path / "x").embed_text(["a"])
    (tmp_path / "x" / "merges.txt").unlink()
    with pytest.raises(ValueError, match=r"x: merges\.txt missing, which .*roberta-base"):
        load_clap(tmp_path / "x").embed_text(["a"])


def test_audio_is_rounded_to_16_bits_towards_zero(folder: Path) -> None:
    embedder = load_clap(folder)
    steps = torch.randint(-20000, 20000, (8000,), generator=torch.Generator().manual_seed(0))
    rounded = steps / 32767
    off = rounded + 0.4 / 32767 * steps.sign()
    torch.testing.assert_close(embedder(off), embedder(rounded), rtol=1e-4, atol=1e-5)
    loud = torch.full((8000,), 1.0)
    torch.testing.assert_close(embedder(3 * loud), embedder(loud))


def test_short_audio_is_not_fused(folder: Path) -> None:
    """As in LAION-CLAP: the parts of a recording are its own, so that a short one has none."""
    embedder = load_clap(folder)
    audio = noise(1)
    before = embedder(audio)
    patches = embedder.model.audio_model.audio_encoder.patch_embed
    if patches.enable_fusion:
        with torch.no_grad():
            patches.mel_conv2d.weight.add_(1)
    torch.testing.assert_close(embedder(audio), before)


def test_crops_come_from_their_seed(tmp_path: Path) -> None:
    """At the published number of bands, the only one that transformers' extractor can squeeze."""
    for truncation in ("rand_trunc", "fusion"):
        model, extractor = small_model(truncation, bands=64, spec_size=256)
        parts = {"vocabulary": tmp_path, "name": "x"}
        first, again, second, short = (
            ClapEmbedder(model, extractor, crop_seed=seed, **parts) for seed in (1, 1, 2, None)
        )
        assert (first.name, short.name) == ("x crops of seed 1", "x")
        state = np.random.get_state()[1].tolist()
        found = first(noise(5))
        assert np.random.get_state()[1].tolist() == state
        assert found.shape == (1, 16)
        torch.testing.assert_close(found, first(noise(5)))
        torch.testing.assert_close(found, again(noise(5)))
        assert not torch.allclose(found, second(noise(5)), atol=1e-5)
        torch.testing.assert_close(first(noise(1)), short(noise(1)))


def test_missing_weights_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "less")
    path = tmp_path / "less" / "model.safetensors"
    weights = load_file(path)
    del weights["audio_projection.linear1.weight"]
    save_file(weights, path, {"format": "pt"})
    message = r"less: lacks 1 weights of ClapModel, audio_projection\.linear1\.weight first"
    with pytest.raises(ValueError, match=message):
        load_clap(tmp_path / "less")


def test_tensors_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "more")
    path = tmp_path / "more" / "model.safetensors"
    weights = load_file(path) | {"audio_model.other.weight": torch.zeros(3)}
    save_file(weights, path, {"format": "pt"})
    message = (
        r"more: has 1 tensors that ClapModel has not, audio_model\.other\.weight first; give the"
    )
    with pytest.raises(ValueError, match=message):
        load_clap(tmp_path / "more")


def test_indices_that_some_versions_write_are_of_no_account(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "older")
    path = tmp_path / "older" / "model.safetensors"
    indices = {
        "text_model.embeddings.position_ids": torch.arange(80)[None],
        "audio_model.encoder.layers.9.relative_position_index": torch.zeros(4, dtype=torch.long),
    }
    save_file(indices | load_file(path), path, {"format": "pt"})
    torch.testing.assert_close(load_clap(tmp_path / "older")(noise(1)), load_clap(folder)(noise(1)))


def test_the_hash_is_of_the_weights_that_are_read(folder: Path, tmp_path: Path) -> None:
    plain = load_clap(folder)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()[:12]
    assert plain.name == f"clap:{folder.name}:{digest}"
    copy = tmp_path / folder.name
    shutil.copytree(folder, copy)
    for stray in ("training_args.bin", "pytorch_model.bin", "optimizer.safetensors"):
        (copy / stray).write_bytes(b"x")
    assert load_clap(copy).name == plain.name

    # In parts: their order is that of their names, and each counts.
    (copy / "model.safetensors").unlink()
    plain.model.save_pretrained(copy, max_shard_size="8KB")
    parts = sorted(copy.glob("model-*.safetensors"))
    assert len(parts) > 1
    digests = b"".join(hashlib.sha256(part.read_bytes()).digest() for part in parts)
    found = load_clap(copy)
    assert found.name == f"clap:{folder.name}:{hashlib.sha256(digests).hexdigest()[:12]}"
    torch.testing.assert_close(found(noise(1)), plain(noise(1)))
    parts[0].unlink()
    message = rf"lacks {parts[0].name}, which model\.safetensors\.index\.json names; download"
    with pytest.raises(ValueError, match=message):
        load_clap(copy)
    (copy / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ValueError, match=r"index\.json: not an index of weights \(.*weight_map"):
        load_clap(copy)


@pytest.mark.parametrize(
    ("tensor", "told"),
    [
        (torch.zeros(16, dtype=torch.int8), "is of the type int8"),
        (torch.full((16,), torch.nan), "holds NaN"),
    ],
)
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_numbers_that_are_no_weights_are_refused(
    folder: Path, tmp_path: Path, file: str, tensor: torch.Tensor, told: str
) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "model.safetensors"
    weights = load_file(path)
    name = next(name for name, own in weights.items() if own.shape == tensor.shape)
    path.unlink()
    if file == path.name:
        save_file(weights | {name: tensor}, path, {"format": "pt"})
    else:
        torch.save(weights | {name: tensor}, path.with_name(file))
    with pytest.raises(ValueError, match=rf"copy/{file}: {re.escape(name)} {told}; allowed: "):
        load_clap(tmp_path / "copy")


@pytest.mark.parametrize("text", [b"[]", b"1", b"null", b'"x"', b"{", b'{"a": "\xff"}'])
@pytest.mark.parametrize("name", ["config.json", "model.safetensors.index.json"])
def test_json_of_any_type_gives_one_line(
    folder: Path, tmp_path: Path, name: str, text: bytes
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "model.safetensors").rename(copy / "part.safetensors")
    places = dict.fromkeys(load_file(copy / "part.safetensors"), "part.safetensors")
    (copy / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": places})
    )
    load_clap(copy)
    (copy / name).write_bytes(text)
    with pytest.raises(ValueError, match=rf"^.*copy/{name}: not (settings|an index) of .*$"):
        load_clap(copy)


def test_an_index_does_not_lead_out_of_its_folder(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "model.safetensors").rename(tmp_path / "part.safetensors")
    index = {"weight_map": {"a": "../part.safetensors"}}
    (copy / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"names '\.\./part\.safetensors'; allowed: files in the"):
        load_clap(copy)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"config\.json, preprocessor_config\.json missing\); down"
    ):
        load_clap(tmp_path)
    with pytest.raises(ValueError, match="no embedder 'vgg:x'; allowed: clap:FOLDER, clap:FILE"):
        EMBEDDERS.load("vgg:x")
    for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match="not a checkpoint of ClapModel"):
        load_clap(tmp_path)
