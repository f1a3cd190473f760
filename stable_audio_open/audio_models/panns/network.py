"""PANNs' frame-wise network, the paper's tagger: 527 classes of AudioSet every 10 ms.

Kong et al., "PANNs: Large-scale pretrained audio neural networks for audio pattern recognition"
(2020): `Cnn14_DecisionLevelMax`, published as `Cnn14_DecisionLevelMax_mAP=0.385.pth`. The published
module also pools its frames into one decision for a clip; the music gate needs the frames alone.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.audio_models.log_mel import MelSpectrogram

SAMPLE_RATE = 32000
WINDOW = 1024
HOP = 320
BANDS = 64
LOWEST, HIGHEST = 50.0, 14000.0
POWER_FLOOR = 1e-10
WIDTHS = (64, 128, 256, 512, 1024, 2048)
CLASSES = 527
POOLING = 32
"""Frames of the spectrogram that become one segment: five of the six blocks halve it."""

CONTEXT = 5
"""Segments on either side that it takes with one: 158 frames by its convolutions and poolings, and
half a window."""

MUSIC_CLASSES = ("Music", "Musical instrument", "Singing", "Song", "Background music")
"""The paper says "music-related tags" and no more; these are the general ones."""


class ConvolutionBlock(nn.Module):
    """Two 3x3 convolutions, each with batch norm and ReLU, then average pooling."""

    def __init__(self, channels: int, filters: int, *, pooling: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(filters, filters, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.bn2 = nn.BatchNorm2d(filters)
        self.pooling = pooling

    def forward(
        self, x: Float[Tensor, "batch channels time bands"]
    ) -> Float[Tensor, "batch filters pooled_time pooled_bands"]:
        """Return the pooled features; what does not fill a pool is left over."""
        x = self.bn1(self.conv1(x)).relu()
        x = self.bn2(self.conv2(x)).relu()
        return F.avg_pool2d(x, self.pooling)


class Cnn14(nn.Module):
    """What PANNs' networks of 14 layers share: their parameters, and all up to the pooling in time.

    The parameters bear the names of the published checkpoints.

    Args:
        classes: How many.
        widths: Channels of the six blocks; the hidden layer is as wide as the last.
        bands: Mel bands.
    """

    def __init__(
        self, *, classes: int = CLASSES, widths: Sequence[int] = WIDTHS, bands: int = BANDS
    ) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(bands)
        for number, (before, filters) in enumerate(
            zip((1, *widths[:-1]), widths, strict=True), start=1
        ):
            pooling = 1 if number == len(widths) else 2
            block = ConvolutionBlock(before, filters, pooling=pooling)
            self.add_module(f"conv_block{number}", block)
        self.blocks = len(widths)
        self.fc1 = nn.Linear(widths[-1], widths[-1])
        self.fc_audioset = nn.Linear(widths[-1], classes)

    def segments(
        self, log_mel: Float[Tensor, "batch frames bands"]
    ) -> Float[Tensor, "batch channels segments"]:
        """Return the mean over the bands; there have to be at least 32 frames and bands."""
        x = self.bn0(rearrange(log_mel, "batch frames bands -> batch bands frames 1"))
        x = rearrange(x, "batch bands frames 1 -> batch 1 frames bands")
        for number in range(1, self.blocks + 1):
            x = self.get_submodule(f"conv_block{number}")(x)
        mean: Tensor = x.mean(dim=-1)
        return mean


class Cnn14DecisionLevel(Cnn14):
    """Log-mel spectrograms to probabilities of classes, one segment for 32 frames."""

    def forward(
        self, log_mel: Float[Tensor, "batch frames bands"]
    ) -> Float[Tensor, "batch segments classes"]:
        """Return probabilities; there have to be at least 32 frames and bands."""
        x = self.segments(log_mel)
        x = F.max_pool1d(x, 3, stride=1, padding=1) + F.avg_pool1d(x, 3, stride=1, padding=1)
        x = self.fc1(rearrange(x, "batch channels segments -> batch segments channels")).relu()
        probabilities: Tensor = self.fc_audioset(x).sigmoid()
        return probabilities


def panns_spectrogram(bands: int = BANDS) -> MelSpectrogram:
    """Return the network's front end, up to the decibels."""
    return MelSpectrogram(
        sample_rate=SAMPLE_RATE,
        size=WINDOW,
        hop=HOP,
        bands=bands,
        lowest=LOWEST,
        highest=HIGHEST,
    )


class PannsTagger:
    """Classes of AudioSet, one frame for 10 ms; 32 frames in a row are the same segment.

    Args:
        network: In evaluation mode.
        spectrogram: Its front end.
        classes: Names, in the order of the network's classes.
        name: Network and weights.
        device: Where to compute.

    Raises:
        ValueError: There are more or fewer names than classes.
    """

    sample_rate = SAMPLE_RATE
    seconds_per_frame = HOP / SAMPLE_RATE
    stride = POOLING * HOP
    context = CONTEXT * POOLING * HOP
    music_classes = MUSIC_CLASSES

    def __init__(
        self,
        network: Cnn14DecisionLevel,
        spectrogram: MelSpectrogram,
        *,
        classes: Sequence[str],
        name: str,
        device: str | torch.device = "cpu",
    ) -> None:
        if len(classes) != network.fc_audioset.out_features:
            raise ValueError(
                f"{name}: {len(classes)} names for {network.fc_audioset.out_features} classes"
            )
        self.name = name
        self.classes = tuple(classes)
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self.spectrogram = spectrogram.to(self.device)

    @torch.inference_mode()
    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "frames classes"]:
        """Return 1 + time // 320 frames; audio shorter than a segment is followed by silence."""
        frames = 1 + len(mono) // HOP
        mono = F.pad(mono, (0, max(0, self.stride - len(mono)))).to(self.device)
        decibels = 10 * self.spectrogram(mono[None]).clamp(min=POWER_FLOOR).log10()
        segments = self.network(decibels)[0]
        framewise = repeat(segments, "segments classes -> (segments n) classes", n=POOLING)
        # What the last pooling left over takes the last segment's values, as published.
        missing = max(0, frames - len(framewise))
        framewise = torch.cat([framewise, framewise[-1:].expand(missing, -1)])[:frames]
        return framewise.cpu()
