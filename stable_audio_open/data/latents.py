"""Recordings encoded once, kept as files, and read back in windows for the diffusion model."""

import hashlib
import json
import logging
import math
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypedDict, runtime_checkable

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from stable_audio_open.audio.files import AudioFileError, audio_info, read_audio
from stable_audio_open.audio.replace import replace_bytes
from stable_audio_open.data.faults import Faults
from stable_audio_open.data.manifest import Recording
from stable_audio_open.data.prompts import draw_prompt

logger = logging.getLogger(__name__)


@runtime_checkable
class LatentEncoder(Protocol):
    """What encoding needs of an autoencoder."""

    @property
    def downsampling(self) -> int:
        """Samples per latent."""

    @property
    def sample_rate(self) -> int:
        """Rate that it was trained at."""

    @property
    def scale(self) -> float:
        """What latents are divided by."""

    def state_dict(self) -> Mapping[str, Any]:
        """Its weights, which identify the cache."""

    def encode(
        self, audio: Float[Tensor, "batch channels time"]
    ) -> Float[Tensor, "batch latent_channels frames"]:
        """Audio to the means of its latents."""


class CachedLatents(NamedTuple):
    """What the header of a cached file says."""

    channels: int
    frames: int
    seconds: float
    """Length of the recording, without the silence after it."""
    key: str


def fingerprint(encoder: LatentEncoder) -> str:
    """Return a name of all that decides the latents: the weights, without the decoder's.

    It is the same on any device, and stays when the decoder alone is trained further.
    """
    digest = hashlib.sha256(f"{encoder.downsampling} {encoder.scale}".encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        if name.startswith("decoder."):
            continue
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        # Bytes of any dtype, bfloat16 included.
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def encode_recordings(
    *,
    autoencoder: LatentEncoder,
    recordings: Sequence[Recording],
    folder: str | Path,
    cache: str | Path,
    channels: int,
    window_samples: int,
    progress: Callable[[int, int], None] | None = None,
    faults: Faults | None = None,
) -> list[Path | None]:
    """Encode each recording into a safetensors file below `cache`, and return the files in order.

    A recording is encoded whole, followed by silence up to `window_samples` at least and to a
    whole number of latents. Files made with other weights lie in another sub-folder; a recording
    is encoded again only when its own bytes, or these arguments, have changed. An interrupted run
    goes on where it stopped.

    Args:
        autoencoder: it decides the sample rate; audio is moved to the device of its weights.
        recordings: lines of the manifest; two may share a file.
        folder: where the recordings are.
        cache: where the latents go; created when missing.
        channels: audio channels that the autoencoder takes.
        window_samples: the diffusion model's window.
        progress: called with (done, total) after each recording.
        faults: takes the recordings that cannot be read, which then have None for a file.

    Raises:
        AudioFileError: a recording cannot be read, and there is no `faults`.
    """
    weights = fingerprint(autoencoder)
    target = Path(cache) / weights[:16]
    paths: list[Path | None] = []
    encoded = 0
    for number, recording in enumerate(recordings, start=1):
        source = Path(folder) / recording.file
        path = target / f"{recording.file}.safetensors"
        try:
            audio_info(source)  # says in one line what is wrong with a file that cannot be used
            content = hashlib.sha256(source.read_bytes()).hexdigest()
            key = f"{content} {weights} {autoencoder.sample_rate} {channels} {window_samples}"
            if _stored_key(path) != key:
                latents, seconds = _encode(autoencoder, source, channels, window_samples)
                _write(path, latents, file=recording.file, seconds=seconds, key=key)
                encoded += 1
            paths.append(path)
        except AudioFileError as error:
            if faults is None:
                raise
            faults.add(recording.file, str(error))
            paths.append(None)
        if progress is not None:
            progress(number, len(recordings))
    logger.info("%d of %d recordings encoded into %s", encoded, len(recordings), target)
    return paths


def read_header(path: Path) -> CachedLatents:
    """Return shape and metadata of a cached file.

    Raises:
        ValueError: it is not one of our cached files.
    """
    try:
        with safe_open(path, framework="pt") as file:
            channels, frames = file.get_slice("latents").get_shape()
            metadata = file.metadata() or {}
            return CachedLatents(channels, frames, float(metadata["seconds"]), metadata["key"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path}: not a file of cached latents ({error}); delete it and encode again"
        ) from error


def standard_deviation(files: Sequence[Path]) -> float:
    """Return the standard deviation of all cached latents; sampling assumes about 1."""
    count, total, squares = 0, 0.0, 0.0
    for path in files:
        with safe_open(path, framework="pt") as file:
            latents = file.get_tensor("latents").double()
        count += latents.numel()
        total += float(latents.sum())
        squares += float(latents.square().sum())
    return math.sqrt(max(0.0, squares / count - (total / count) ** 2))


def _stored_key(path: Path) -> str | None:
    if not path.is_file():
        return None
    try:
        return read_header(path).key
    except ValueError as error:
        logger.warning("%s", error)
        return None


@torch.inference_mode()
def _encode(
    autoencoder: LatentEncoder, source: Path, channels: int, window_samples: int
) -> tuple[Float[Tensor, "latent_channels frames"], float]:
    audio = read_audio(source, sample_rate=autoencoder.sample_rate, channels=channels)
    hop = autoencoder.downsampling
    length = audio.samples.shape[-1]
    padded = math.ceil(max(length, window_samples) / hop) * hop
    samples = functional.pad(audio.samples, (0, padded - length))
    weight = next((w for w in autoencoder.state_dict().values() if w.is_floating_point()), samples)
    latents = autoencoder.encode(samples.to(weight))[0].float().cpu()
    if not torch.isfinite(latents).all():
        raise ValueError(
            f"{source}: its latents are NaN or infinite; use dtype float32 or another autoencoder"
        )
    return latents.contiguous(), audio.duration


def _write(
    path: Path, latents: Float[Tensor, "channels frames"], *, file: str, seconds: float, key: str
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"file": file, "seconds": json.dumps(seconds), "key": key}
    replace_bytes(path, save({"latents": latents}, metadata))


class LatentWindow(TypedDict):
    """One training example of the diffusion model."""

    latents: Float[Tensor, "latent_channels window"]
    prompt: str
    seconds_start: float
    seconds_total: float
    file: str


class LatentDataset(Dataset[LatentWindow]):
    """Windows of cached latents with a prompt; item i of an epoch depends on (seed, epoch, i).

    Where a file is longer than the window, a random one is cut out, and there are up to
    `crops_per_recording` items of it. `seconds_start` is the offset rounded down, `seconds_total`
    the length of the whole recording rounded up.

    Args:
        recordings: lines of the manifest.
        files: their latents, in the same order, from `encode_recordings`; None has no items.
        window: latents per item.
        downsampling: samples per latent.
        sample_rate: samples per second.
        crops_per_recording: at most so many items of a long recording in an epoch.
        trailing_silence: up to so many seconds of the silence behind a recording that is shorter
            than the window count as part of it: a set of very short ones then teaches every length.
        caption_share: share of the prompts that are whole captions.
        whole_seconds: start windows at whole seconds, all that `seconds_start` can tell apart.
        seed: of the windows and prompts.
    """

    def __init__(
        self,
        *,
        recordings: Sequence[Recording],
        files: Sequence[Path | None],
        window: int,
        downsampling: int,
        sample_rate: int,
        crops_per_recording: int = 3,
        trailing_silence: float = 0.0,
        caption_share: float = 0.5,
        whole_seconds: bool = False,
        seed: int = 0,
    ) -> None:
        if len(recordings) != len(files) or not files:
            raise ValueError(
                f"got {len(recordings)} recordings and {len(files)} files of latents; there must "
                "be one for each and at least one: encode the recordings again"
            )
        if window < 1 or crops_per_recording < 1:
            raise ValueError(
                "window and crops_per_recording must be at least 1, got "
                f"{window} and {crops_per_recording}"
            )
        if not 0 <= trailing_silence < math.inf:
            raise ValueError(f"trailing_silence must be at least 0, got {trailing_silence}")
        pairs = [(own, path) for own, path in zip(recordings, files, strict=True) if path]
        self.recordings = [own for own, _ in pairs]
        self.files = [path for _, path in pairs]
        self.window = window
        self.downsampling = downsampling
        self.sample_rate = sample_rate
        self.trailing_silence = trailing_silence
        self.caption_share = caption_share
        self.whole_seconds = whole_seconds
        self.seed = seed
        self.epoch = 0
        self.headers = [read_header(path) for path in self.files]
        self.owners: list[int] = []
        """The recording that each item is a window of."""
        for index, (path, header) in enumerate(zip(self.files, self.headers, strict=True)):
            if header.frames < window:
                raise ValueError(
                    f"{path}: holds {header.frames} latents, fewer than the window of {window}; "
                    "encode again with this window"
                )
            self.owners += [index] * min(crops_per_recording, math.ceil(header.frames / window))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; call it before the workers start."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.owners)

    def __getitem__(self, index: int) -> LatentWindow:
        owner = self.owners[index]
        recording, header = self.recordings[owner], self.headers[owner]
        rng = random.Random(f"{self.seed}/{self.epoch}/{index}")
        offset = self._offset(header.frames - self.window, rng)
        with safe_open(self.files[owner], framework="pt") as file:
            latents = file.get_slice("latents")[:, offset : offset + self.window]
        return {
            "latents": latents.clone(),
            "prompt": draw_prompt(recording, rng, caption_share=self.caption_share),
            "seconds_start": float(offset * self.downsampling // self.sample_rate),
            "seconds_total": float(math.ceil(header.seconds + self._silence(header, rng))),
            "file": recording.file,
        }

    def _offset(self, room: int, rng: random.Random) -> int:
        """Draw where a window starts, in latents."""
        if not self.whole_seconds:
            return rng.randint(0, room)
        per_second = self.sample_rate / self.downsampling
        return math.ceil(rng.randint(0, math.floor(room / per_second)) * per_second)

    def _silence(self, header: CachedLatents, rng: random.Random) -> float:
        """Seconds of the silence behind a short recording that count as part of it."""
        window = self.window * self.downsampling / self.sample_rate
        return rng.uniform(0, max(0.0, min(self.trailing_silence, window - header.seconds)))
