"""musicnn: 50 tags of music, with weights that a small package carries.

Pons and Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging" (2019).
The network was trained on music alone: among sounds that are not music its tags say little. It is
here because its weights are on PyPI under a free licence; the paper's tagger is `panns.py`.
"""

import importlib.util
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.audio_models.checkpoint_hash import checkpoint_hash
from stable_audio_open.audio_models.log_mel import MelSpectrogram
from stable_audio_open.audio_models.musicnn.tensor_bundle import read_bundle
from stable_audio_open.nn.weights import type_fault, value_fault

SAMPLE_RATE = 16000
HOP = 256
BANDS = 96
PATCH = 187
"""Frames that the network takes at once, 3 s; one patch makes one frame of the output."""

NORM_EPS = 1e-3
TRAINING_STATE = ("Adam", "beta1_power", "beta2_power")
"""What the checkpoint holds of its training."""

LABELS = {"MTT_musicnn": "MTT_LABELS", "MSD_musicnn": "MSD_LABELS"}
"""Where the package has the tags of each set of weights."""

OF_ANY_SOUND = (
    "slow, fast, loud, quiet, soft, solo, weird, female, male, woman, man, voice, vocal, vocals, "
    "male vocal, female vocal, male voice, female voice, no vocals, no vocal, no voice, choir, "
    "ambient, new age, beautiful, 00s, 60s, 70s, 80s, 90s, chill, party, sexy, catchy, sad, happy, "
    "Mellow, oldies, easy listening, experimental, acoustic"
)
"""Tags that a sound may well have that is not music."""


class Branch(nn.Module):
    """Convolution, ReLU, batch norm, and the strongest answer over frequency."""

    def __init__(self, filters: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, kernel)
        self.norm = nn.BatchNorm2d(filters, eps=NORM_EPS)

    def forward(
        self, x: Float[Tensor, "batch 1 time bands"]
    ) -> Float[Tensor, "batch filters time"]:
        """Return as many frames as there were."""
        frames = self.conv.kernel_size[0]
        # TensorFlow's "same": of an even kernel the longer half is behind.
        x = F.pad(x, (0, 0, (frames - 1) // 2, frames // 2))
        x = self.norm(self.conv(x).relu())
        return x.amax(dim=-1)


class Layer(nn.Module):
    """Convolution over time, ReLU, batch norm."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, filters, 7, padding=3)
        self.norm = nn.BatchNorm1d(filters, eps=NORM_EPS)

    def forward(
        self, x: Float[Tensor, "batch channels time"]
    ) -> Float[Tensor, "batch filters time"]:
        """Return as many frames as there were."""
        out: Tensor = self.norm(self.conv(x).relu())
        return out


class Musicnn(nn.Module):
    """Patches of a log-mel spectrogram to logits of tags.

    Args:
        tags: How many.
        bands: Mel bands.
        timbral: Filters that are 7 frames long and 40 or 70 % of the bands high.
        temporal: Filters that are one band high and 128, 64 or 32 frames long.
        middle: Filters of the three layers that follow.
        dense: Units of the last hidden layer.
    """

    def __init__(
        self,
        *,
        tags: int = 50,
        bands: int = BANDS,
        timbral: int = 204,
        temporal: int = 51,
        middle: int = 64,
        dense: int = 200,
    ) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1, eps=NORM_EPS)
        heights = (int(0.4 * bands), int(0.7 * bands))
        self.front = nn.ModuleList(
            [Branch(timbral, (7, height)) for height in heights]
            + [Branch(temporal, (frames, 1)) for frames in (128, 64, 32)]
        )
        width = 2 * timbral + 3 * temporal
        self.middle = nn.ModuleList([Layer(width, middle), *(Layer(middle, middle) for _ in "23")])
        pooled = 2 * (width + 3 * middle)
        self.pool_norm = nn.BatchNorm1d(pooled, eps=NORM_EPS)
        self.dense = nn.Linear(pooled, dense)
        self.dense_norm = nn.BatchNorm1d(dense, eps=NORM_EPS)
        self.tags = nn.Linear(dense, tags)

    def forward(self, log_mel: Float[Tensor, "batch time bands"]) -> Float[Tensor, "batch tags"]:
        """Return logits; the patches may have any length."""
        logits: Tensor = self.tags(self.dense_norm(self.embed(log_mel)))
        return logits

    def embed(self, log_mel: Float[Tensor, "batch time bands"]) -> Float[Tensor, "batch dense"]:
        """Return the last hidden layer, before its batch norm."""
        x = self.input_norm(log_mel[:, None])
        features = [torch.cat([branch(x) for branch in self.front], dim=1)]
        features.append(self.middle[0](features[0]))
        for layer in self.middle[1:]:
            features.append(features[-1] + layer(features[-1]))
        everything = torch.cat(features, dim=1)
        pooled = torch.stack([everything.amax(dim=-1), everything.mean(dim=-1)], dim=-1)
        x = self.pool_norm(rearrange(pooled, "batch channels kinds -> batch (channels kinds)"))
        hidden: Tensor = self.dense(x).relu()
        return hidden


def load_tensors(network: Musicnn, tensors: Mapping[str, Tensor], where: object) -> None:
    """Copy a TensorFlow checkpoint into the network.

    Raises:
        ValueError: A tensor is missing, left over, of another shape or type, or not finite.
    """
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not any(word in name for word in TRAINING_STATE):
            layer, _, part = name.rpartition("/")
            renamed[f"{_module(layer)}.{_PARTS.get(part, part)}"] = _as_torch(tensor, layer, part)
    wanted = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    if difference := sorted(wanted.keys() ^ renamed.keys()):
        raise ValueError(f"{where}: missing or not of musicnn: {', '.join(difference)}")
    for name, tensor in wanted.items():
        if tensor.shape != renamed[name].shape:
            raise ValueError(
                f"{where}: {name} is {list(renamed[name].shape)}, but the network has "
                f"{list(tensor.shape)}"
            )
    if fault := type_fault(renamed, wanted) or value_fault(renamed):
        raise ValueError(f"{where}: {fault}")
    network.load_state_dict(network.state_dict() | renamed)


_PARTS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _module(layer: str) -> str:
    """Return our name of a layer; TensorFlow numbers each kind in the order of building."""
    kind, _, digits = layer.rpartition("_")
    kind, number = (kind, int(digits)) if digits.isdigit() else (layer, 0)
    match kind:
        case "conv2d":
            return f"front.{number}.conv" if number < 5 else f"middle.{number - 5}.conv"
        case "batch_normalization":
            blocks = [
                *(f"front.{n}.norm" for n in range(5)),
                *(f"middle.{n}.norm" for n in range(3)),
            ]
            names = ["input_norm", *blocks, "pool_norm", "dense_norm"]
            return names[number] if number < len(names) else layer
        case "dense":
            return "tags" if number == 1 else layer
    return layer


def _as_torch(tensor: Tensor, layer: str, part: str) -> Tensor:
    if part != "kernel":
        return tensor
    if layer.startswith("dense"):
        return tensor.T
    kernel = rearrange(tensor, "time bands inputs filters -> filters inputs time bands")
    # The layers in the middle see all their channels as the height of one picture.
    over_time = _module(layer).startswith("middle")
    return kernel[:, 0].mT if over_time else kernel


class MusicnnTagger:
    """Tags of the patches of a recording, one frame for 2.992 s.

    A last patch that is not full is filled by repeating it, as in the network's training.

    Args:
        network: In evaluation mode.
        classes: Its tags.
        name: Network and weights.
        device: Where to compute.
    """

    sample_rate = SAMPLE_RATE
    stride = context = PATCH * HOP
    seconds_per_frame = PATCH * HOP / SAMPLE_RATE

    def __init__(
        self,
        network: Musicnn,
        *,
        classes: Sequence[str],
        name: str,
        device: str | torch.device = "cpu",
    ) -> None:
        self.name = name
        self.classes = tuple(classes)
        others = OF_ANY_SOUND.split(", ")
        self.music_classes = tuple(tag for tag in self.classes if tag not in others)
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.spectrogram = MelSpectrogram(
            sample_rate=SAMPLE_RATE, size=2 * HOP, hop=HOP, bands=BANDS, padding="constant"
        ).to(self.device)

    @torch.inference_mode()
    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "frames classes"]:
        """Return one row for each patch that begins within the audio."""
        return torch.sigmoid(self.network(self.patches(mono))).cpu()

    def patches(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "patches frames bands"]:
        """Return what the network reads, on its device."""
        count = -(-len(mono) // self.stride)
        power = self.spectrogram(mono.to(self.device)[None])[0, : count * PATCH]
        log_mel = (10000 * power + 1).log10()
        rest = log_mel[(count - 1) * PATCH :]
        whole = rest.repeat(-(-PATCH // len(rest)), 1)[:PATCH]
        patches = torch.cat([log_mel[: (count - 1) * PATCH], whole])
        return rearrange(patches, "(n time) bands -> n time bands", time=PATCH)


class MusicnnEmbedder:
    """The 200 numbers of the last hidden layer for each patch of a recording.

    Args:
        tagger: Whose network it is.
    """

    sample_rate = SAMPLE_RATE

    def __init__(self, tagger: MusicnnTagger) -> None:
        self.tagger = tagger
        self.name = tagger.name

    @torch.inference_mode()
    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        """Return one vector for each patch that begins within the audio."""
        return self.tagger.network.embed(self.tagger.patches(mono)).cpu()


def load_musicnn(
    weights: str = "MTT_musicnn", *, device: str | torch.device = "cpu"
) -> MusicnnTagger:
    """Return the tagger with the weights of the installed package `musicnn`; it is not imported.

    Args:
        weights: `MTT_musicnn` (MagnaTagATune) or `MSD_musicnn` (Million Song Dataset).
        device: Where to compute.

    Raises:
        ValueError: There are no such weights, or the package is missing or damaged.
    """
    if weights not in LABELS:
        raise ValueError(f"musicnn has no weights {weights!r}; allowed: {', '.join(LABELS)}")
    folder = _package()
    classes: list[str] = getattr(_configuration(), LABELS[weights])
    network = Musicnn(tags=len(classes))
    load_tensors(network, read_bundle(f"{folder / weights}/", leave_out="Adam"), folder / weights)
    files = [folder / weights / part for part in (".index", ".data-00000-of-00001")]
    name = f"musicnn {weights} sha256:{checkpoint_hash(files)}"
    return MusicnnTagger(network, classes=classes, name=name, device=device)


def _package() -> Path:
    found = importlib.util.find_spec("musicnn")
    if found is None or not found.submodule_search_locations:
        raise ValueError(
            "the package musicnn, which holds the weights, is not installed: "
            "pip install --no-deps musicnn==0.1.0 (its dependencies are not needed)"
        )
    return Path(found.submodule_search_locations[0])


def _configuration() -> Any:
    # Constants alone; the package's other modules import TensorFlow.
    return import_module("musicnn.configuration")
