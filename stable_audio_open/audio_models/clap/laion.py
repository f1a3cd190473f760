"""The published files of LAION-CLAP (`630k-audioset-fusion-best.pt`) as transformers' `ClapModel`.

Wu et al., "Large-scale contrastive language-audio pretraining with feature fusion and
keyword-to-caption augmentation" (2023). The files could not be had where this was written. Compared
was the package laion_clap 1.1.7 that saves and loads them: what its own modules save with random
weights is read, and gives its vectors (texts, and audio of 3, 10 and 25 s, fused and not).
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stable_audio_open.audio_models.log_mel import MelSpectrogram
from stable_audio_open.audio_models.pickles import read_pickled_weights
from stable_audio_open.audio_models.stft_weights import FILTERS, IMAGINARY, REAL, check_front_end
from stable_audio_open.audio_models.tensors import check_tensors
from stable_audio_open.nn.weights import type_fault

SAMPLE_RATE = 48000
SIZE = 1024
HOP = 480
SECONDS = 10
LOWEST, HIGHEST = 50, 14000
FRONT_END = "at 48 kHz with a window of 1024, mel bands from 50 to 14000 Hz"

TEXT_HEAD = 64
"""Width of an attention head of RoBERTa, which no tensor tells; nor does one its epsilon."""
TEXT_EPS = 1e-5
SPECTRUM = 256
"""Side of the square that the spectrogram is folded into, where no attention mask tells."""

AUDIO = "audio_branch."
RENAMES = (
    (r"text_branch\.", "text_model."),
    (r"(text|audio)_projection\.0\.", r"\1_projection.linear1."),
    (r"(text|audio)_projection\.2\.", r"\1_projection.linear2."),
    (r"audio_branch\.bn0\.", "audio_model.audio_encoder.batch_norm."),
    (r"audio_branch\.", "audio_model.audio_encoder."),
    (r"(.*blocks\.\d+\.)norm1\.", r"\1layernorm_before."),
    (r"(.*blocks\.\d+\.)norm2\.", r"\1layernorm_after."),
    (r"(.*blocks\.\d+\.)attn\.proj\.", r"\1attention.output.dense."),
    (r"(.*blocks\.\d+\.)attn\.", r"\1attention.self."),
    (r"(.*blocks\.\d+\.)mlp\.fc1\.", r"\1intermediate.dense."),
    (r"(.*blocks\.\d+\.)mlp\.fc2\.", r"\1output.dense."),
)
"""Beginnings of names, in this order."""

UNUSED = re.compile(
    r"audio_branch\.(tscam_conv|head)\.(weight|bias)"
    r"|(audio|text)_transform\.sequential\.[03]\.(weight|bias)"
    r"|audio_branch\.layers\.\d+\.blocks\.\d+\.attn_mask"
)
"""Heads that only training used, and masks that transformers computes."""

COMPUTED = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")
"""Buffers of transformers that files of LAION-CLAP may lack."""


def read_laion(path: Path) -> tuple[Any, Any]:
    """Return `ClapModel` and `ClapFeatureExtractor` of a file; every tensor is accounted for.

    Each tensor is used, compared with ours where it is computed (the spectrogram), or is of a head
    that the embeddings do not use. The sizes of the model, and whether it fuses the parts of long
    recordings, are read from the file.

    Raises:
        ValueError: The file is damaged or of another network.
    """
    state = _read(path)
    try:
        config = laion_config(state)
        bands = len(state[f"{AUDIO}bn0.weight"])
        front_end = {name: state.pop(AUDIO + name) for name in (REAL, IMAGINARY, FILTERS)}
    except (KeyError, StopIteration) as error:
        missing = error.args[0] if error.args else "audio_branch.layers"
        raise ValueError(
            f"{path}: holds no tensor {missing} of LAION-CLAP; give 630k-audioset-fusion-best.pt "
            "or another of its checkpoints"
        ) from error
    spectrogram = MelSpectrogram(
        sample_rate=SAMPLE_RATE, size=SIZE, hop=HOP, bands=bands, lowest=LOWEST, highest=HIGHEST
    )
    check_front_end(front_end, spectrogram, path, FRONT_END)

    from transformers import ClapFeatureExtractor, ClapModel

    # Its initialisation draws from the global generator; every value of it is replaced.
    with torch.random.fork_rng(devices=[]):
        model: Any = ClapModel(config)
    own = model.state_dict()
    renamed = {name: own[name] for name in COMPUTED} | rename(state)
    hint = " (names as in transformers)"
    check_tensors(renamed, own, where=path, network="ClapModel", hint=hint)
    model.load_state_dict(renamed)
    extractor = ClapFeatureExtractor(
        feature_size=bands,
        sampling_rate=SAMPLE_RATE,
        hop_length=HOP,
        max_length_s=SECONDS,
        fft_window_size=SIZE,
        frequency_min=LOWEST,
        frequency_max=HIGHEST,
        truncation="fusion" if config.audio_config.enable_fusion else "rand_trunc",
    )
    return model, extractor


def rename(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors that `ClapModel` uses, by its names; queries, keys and values apart."""
    renamed = {}
    for name, tensor in state.items():
        if UNUSED.fullmatch(name):
            continue
        if match := re.fullmatch(r"(.*)\.attn\.qkv\.(weight|bias)", name):
            for part, third in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                renamed[_rename(f"{match[1]}.attn.{part}.{match[2]}")] = third
        else:
            renamed[_rename(name)] = tensor
    return renamed


def _rename(name: str) -> str:
    for pattern, replacement in RENAMES:
        name = re.sub(f"^{pattern}", replacement, name)
    return name


def laion_config(state: Mapping[str, Tensor]) -> Any:
    """Return the `ClapConfig` that the shapes of the tensors tell.

    Raises:
        KeyError: A tensor is missing.
    """
    from transformers import ClapAudioConfig, ClapConfig, ClapTextConfig

    words = state["text_branch.embeddings.word_embeddings.weight"]
    depths = [_count(state, rf"audio_branch\.layers\.{stage}\.blocks\.(\d+)\.")
              for stage in range(_count(state, r"audio_branch\.layers\.(\d+)\."))]  # fmt: skip
    tables = [
        state[f"{AUDIO}layers.{stage}.blocks.0.attn.relative_position_bias_table"]
        for stage in range(len(depths))
    ]
    window = (math.isqrt(len(tables[0])) + 1) // 2 if tables else 0
    patches = state[f"{AUDIO}patch_embed.proj.weight"]
    width = len(state["audio_projection.2.bias"])
    mask = state.get(f"{AUDIO}layers.0.blocks.1.attn_mask")
    side = SPECTRUM if mask is None else math.isqrt(len(mask)) * window * patches.shape[-1]
    text = ClapTextConfig(
        vocab_size=len(words),
        hidden_size=words.shape[1],
        num_hidden_layers=_count(state, r"text_branch\.encoder\.layer\.(\d+)\."),
        num_attention_heads=max(1, words.shape[1] // TEXT_HEAD),
        intermediate_size=len(state["text_branch.encoder.layer.0.intermediate.dense.bias"]),
        max_position_embeddings=len(state["text_branch.embeddings.position_embeddings.weight"]),
        type_vocab_size=len(state["text_branch.embeddings.token_type_embeddings.weight"]),
        layer_norm_eps=TEXT_EPS,
        projection_dim=width,
    )
    audio = ClapAudioConfig(
        spec_size=side,
        window_size=window,
        num_mel_bins=len(state[f"{AUDIO}bn0.weight"]),
        patch_size=patches.shape[-1],
        patch_stride=[patches.shape[-1]] * 2,
        patch_embed_input_channels=patches.shape[1],
        patch_embeds_hidden_size=len(patches),
        hidden_size=len(state[f"{AUDIO}norm.weight"]),
        depths=depths,
        num_hidden_layers=len(depths),
        num_attention_heads=[table.shape[1] for table in tables],
        enable_fusion=any("patch_embed.fusion_model" in name for name in state),
        projection_dim=width,
    )
    return ClapConfig(
        text_config=text.to_dict(), audio_config=audio.to_dict(), projection_dim=width
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    return len({match[1] for name in state if (match := re.match(pattern, name))})


def _read(path: Path) -> dict[str, Tensor]:
    # Beside the tensors the files hold how training went, in numbers of numpy.
    scalar: Any = np.float64(0).__reduce__()[0]
    numbers = [(scalar, "numpy.core.multiarray.scalar"), (scalar, "numpy._core.multiarray.scalar")]
    kinds = [type(np.dtype(kind)) for kind in ("f8", "f4", "i8")]
    with torch.serialization.safe_globals([*numbers, np.dtype, *kinds]):
        content = read_pickled_weights(path)
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(t, Tensor) for t in state.values()):
        raise ValueError(f"{path}: holds no dictionary of tensors as LAION-CLAP saves it")
    # Before any is cut into parts; which are to be integers, the network says later.
    if fault := type_fault(state, state):
        raise ValueError(f"{path}: {fault}")
    return {name.removeprefix("module."): tensor for name, tensor in state.items()}
