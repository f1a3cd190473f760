"""Files of LAION-CLAP, written under their published names by hand from a small ClapModel."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import ClapAudioConfig, ClapConfig, ClapModel, ClapTextConfig

from stable_audio_open.audio_models.clap.checkpoint import load_clap
from stable_audio_open.audio_models.clap.laion import laion_config, rename
from stable_audio_open.audio_models.log_mel import MelSpectrogram
from stable_audio_open.audio_models.stft_weights import front_end_tensors

pytestmark = pytest.mark.numerical

State = dict[str, Tensor]
SIZES = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "depths", "window_size", "spec_size",
    "patch_size", "patch_stride", "num_mel_bins", "enable_fusion", "mlp_ratio", "layer_norm_eps",
    "vocab_size", "intermediate_size", "max_position_embeddings", "projection_dim", "hidden_act",
)  # fmt: skip


def small_model(*, fusion: bool) -> ClapModel:
    config = ClapConfig(
        text_config=ClapTextConfig(
            vocab_size=30, hidden_size=128, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=24, projection_dim=16, max_position_embeddings=80,
            layer_norm_eps=1e-5,
        ).to_dict(),
        audio_config=ClapAudioConfig(
            spec_size=256, hidden_size=16, patch_embeds_hidden_size=8, depths=[2, 1],
            num_attention_heads=[1, 2], num_hidden_layers=2, window_size=8, projection_dim=16,
            num_mel_bins=64, enable_fusion=fusion, patch_embed_input_channels=1,
        ).to_dict(),
        projection_dim=16,
    )  # fmt: skip
    with torch.random.fork_rng():
        model = ClapModel(config).eval()
    generator = torch.Generator().manual_seed(0)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            tensor.normal_(std=0.1, generator=generator)
            if name.endswith("running_var"):
                tensor.abs_().add_(0.5)
            elif name.endswith("norm.weight") or ("layernorm" in name and "weight" in name):
                tensor.add_(1)
    return model


def published(model: ClapModel) -> State:
    """The state dict as laion_clap's own modules name it, spelled out layer by layer."""
    own = model.state_dict()
    state: State = {name: own[name] for name in ("logit_scale_a", "logit_scale_t")}

    def take(theirs: str, ours: str) -> None:
        parts = [name for name in own if name.startswith(f"{ours}.")]
        assert parts, ours
        state.update({theirs + name.removeprefix(ours): own[name] for name in parts})

    spectrogram = MelSpectrogram(
        sample_rate=48000, size=1024, hop=480, bands=64, lowest=50, highest=14000
    )
    for name, tensor in front_end_tensors(spectrogram).items():
        state[f"audio_branch.{name}"] = tensor
    ours = "audio_model.audio_encoder"
    take("audio_branch.bn0", f"{ours}.batch_norm")
    take("audio_branch.patch_embed", f"{ours}.patch_embed")
    take("audio_branch.norm", f"{ours}.norm")
    for stage, depth in enumerate((2, 1)):
        for number in range(depth):
            block = f"layers.{stage}.blocks.{number}"
            theirs, block = f"audio_branch.{block}", f"{ours}.{block}"
            take(f"{theirs}.norm1", f"{block}.layernorm_before")
            take(f"{theirs}.norm2", f"{block}.layernorm_after")
            take(f"{theirs}.attn.proj", f"{block}.attention.output.dense")
            take(f"{theirs}.mlp.fc1", f"{block}.intermediate.dense")
            take(f"{theirs}.mlp.fc2", f"{block}.output.dense")
            attention = f"{block}.attention.self"
            for part in ("relative_position_bias_table", "relative_position_index"):
                state[f"{theirs}.attn.{part}"] = own[f"{attention}.{part}"]
            for part in ("weight", "bias"):
                thirds = [own[f"{attention}.{kind}.{part}"] for kind in ("query", "key", "value")]
                state[f"{theirs}.attn.qkv.{part}"] = torch.cat(thirds)
    state["audio_branch.layers.0.blocks.1.attn_mask"] = torch.zeros(64, 64, 64)
    take("audio_branch.layers.0.downsample", f"{ours}.layers.0.downsample")
    take("text_branch", "text_model")
    del state["text_branch.embeddings.token_type_ids"]
    for side in ("audio", "text"):
        take(f"{side}_projection.0", f"{side}_projection.linear1")
        take(f"{side}_projection.2", f"{side}_projection.linear2")
        for number in (0, 3):
            state[f"{side}_transform.sequential.{number}.weight"] = torch.ones(16, 16)
            state[f"{side}_transform.sequential.{number}.bias"] = torch.ones(16)
    state["audio_branch.tscam_conv.weight"] = torch.ones(527, 16, 2, 3)
    state["audio_branch.tscam_conv.bias"] = torch.ones(527)
    state["audio_branch.head.weight"] = torch.ones(527, 527)
    state["audio_branch.head.bias"] = torch.ones(527)
    return state


def save(folder: Path, state: State) -> Path:
    """As LAION-CLAP's training saves: under `module.`, beside an account of how it went."""
    path = folder / "630k-audioset-fusion-best.pt"
    module = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"epoch": np.float64(45), "name": "x", "optimizer": {}, "state_dict": module}, path)
    return path


@pytest.mark.parametrize("fusion", [True, False])
def test_a_file_is_the_model_it_was_written_from(tmp_path: Path, fusion: bool) -> None:
    model = small_model(fusion=fusion)
    path = save(tmp_path, published(model))
    embedder = load_clap(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    assert embedder.name == f"clap:630k-audioset-fusion-best.pt:{digest}"
    found = embedder.model.state_dict()
    assert found.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(found[name], tensor), name
    ours, theirs = embedder.model.config, model.config
    for side in ("text_config", "audio_config"):
        for field in SIZES:
            wanted = getattr(getattr(theirs, side), field, None)
            assert getattr(getattr(ours, side), field, None) == wanted, field
    assert (embedder.sample_rate, embedder.extractor.nb_max_samples) == (48000, 480000)
    assert embedder.extractor.truncation == ("fusion" if fusion else "rand_trunc")
    audio = 0.1 * torch.randn(48000, generator=torch.Generator().manual_seed(0))
    vectors = embedder(audio)
    embedder.model = model
    assert torch.equal(embedder(audio), vectors)


def test_the_sizes_of_the_published_file() -> None:
    """HTSAT-tiny and roberta-base, from shapes alone."""
    with torch.device("meta"):
        state: State = {
            "text_branch.embeddings.word_embeddings.weight": torch.zeros(50265, 768),
            "text_branch.embeddings.position_embeddings.weight": torch.zeros(514, 768),
            "text_branch.embeddings.token_type_embeddings.weight": torch.zeros(1, 768),
            "text_branch.encoder.layer.0.intermediate.dense.bias": torch.zeros(3072),
            "audio_branch.bn0.weight": torch.zeros(64),
            "audio_branch.norm.weight": torch.zeros(768),
            "audio_branch.patch_embed.proj.weight": torch.zeros(96, 1, 4, 4),
            "audio_branch.patch_embed.fusion_model.local_att.0.bias": torch.zeros(24),
            "audio_branch.layers.0.blocks.1.attn_mask": torch.zeros(64, 64, 64),
            "audio_projection.2.bias": torch.zeros(512),
        }
        for layer in range(12):
            state[f"text_branch.encoder.layer.{layer}.output.dense.bias"] = torch.zeros(768)
        for stage, (depth, heads) in enumerate([(2, 4), (2, 8), (6, 16), (2, 32)]):
            for block in range(depth):
                name = f"audio_branch.layers.{stage}.blocks.{block}.attn."
                state[f"{name}relative_position_bias_table"] = torch.zeros(225, heads)
    config = laion_config(state)
    wanted = ClapConfig(
        text_config=ClapTextConfig(layer_norm_eps=1e-5).to_dict(),
        audio_config=ClapAudioConfig(enable_fusion=True).to_dict(),
    )
    assert config.to_dict() == wanted.to_dict()


def drop(state: State) -> None:
    del state["audio_branch.layers.0.blocks.1.mlp.fc2.bias"]


def add(state: State) -> None:
    state["audio_branch.absolute_pos_embed"] = torch.zeros(3)


def reshape(state: State) -> None:
    state["text_projection.0.weight"] = torch.zeros(16, 3)


def no_front_end(state: State) -> None:
    del state["audio_branch.logmel_extractor.melW"]


def other_front_end(state: State) -> None:
    state["audio_branch.logmel_extractor.melW"] = torch.zeros(513, 64)


def other_text_side(state: State) -> None:
    del state["text_branch.embeddings.word_embeddings.weight"]


def whole_numbers(state: State) -> None:
    name = "text_projection.0.weight"
    state[name] = state[name].to(torch.int8)


def sparse(state: State) -> None:
    name = "audio_branch.layers.0.blocks.1.attn.qkv.weight"
    state[name] = state[name].to_sparse()


def not_finite(state: State) -> None:
    state["text_projection.0.weight"][1, 1] = torch.inf


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, r"blocks\.1\.output\.dense\.bias has the shape of nothing, where ClapModel has \[8"),
        (add, r"absolute_pos_embed has the shape \[3\], where ClapModel has no such tensor"),
        (reshape, r"text_projection\.linear1\.weight has the shape \[16, 3\], .* \[16, 128\]"),
        (no_front_end, r"holds no tensor audio_branch\.logmel_extractor\.melW of LAION-CLAP"),
        (other_front_end, "melW is not that of a spectrogram at 48 kHz with a window of 1024"),
        (other_text_side, "holds no tensor text_branch.embeddings.word_embeddings.weight of LAION"),
        (whole_numbers, r"text_projection\.linear1\.weight is of the type int8; allowed: "),
        (sparse, r"blocks\.1\.attn\.qkv\.weight is sparse \(sparse_coo\); allowed: "),
        (not_finite, r"text_projection\.linear1\.weight holds infinity; allowed: "),
    ],
)
def test_another_network_is_refused(
    tmp_path: Path, change: Callable[[State], None], message: str
) -> None:
    state = published(small_model(fusion=True))
    change(state)
    with pytest.raises(ValueError, match=rf"best\.pt: .*{message}"):
        load_clap(save(tmp_path, state))


def test_what_only_training_used_is_left_out_by_name() -> None:
    state = published(small_model(fusion=True))
    kept = rename(state)
    assert not [name for name in kept if "transform." in name or "tscam" in name]
    other = rename({"audio_transform.sequential.6.weight": torch.zeros(2)})
    assert list(other) == ["audio_transform.sequential.6.weight"]  # and is refused by the model


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "630k-audioset-fusion-best.pt"
    with pytest.raises(ValueError, match=r"download 630k-audioset-fusion-best\.pt from .* vocab"):
        load_clap(path)
    path.write_bytes(b"weights")
    with pytest.raises(ValueError, match=r"best\.pt: cannot be read as a checkpoint \("):
        load_clap(path)
    torch.save({"state_dict": {"epoch": 3}}, path)
    with pytest.raises(ValueError, match=r"best\.pt: holds no dictionary of tensors as LAION-CLAP"):
        load_clap(path)
