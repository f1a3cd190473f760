"""The metrics of tables 3 and 4, of an autoencoder on a fixed set."""

from pathlib import Path

import msgspec
import torch
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.replace import replace_bytes
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.evaluation.distances import Distances
from stable_audio_open.evaluation.fixed_set import FixedSet
from stable_audio_open.evaluation.reconstruction import evaluate_autoencoder
from stable_audio_open.evaluation.result import to_json
from stable_audio_open.evaluation.weights import module_hash


class ReconstructionEvaluation:
    """STFT and MEL distance and SI-SDR: `stft`, `mel`, `multi_resolution_stft` and `si_sdr`.

    Args:
        fixed: Recordings to encode and decode.
    """

    def __init__(self, fixed: FixedSet) -> None:
        self.fixed = fixed

    @property
    def names(self) -> tuple[str, ...]:
        """What `values` finds."""
        return Distances.__struct_fields__

    def prepare(self) -> None:
        """Write the recordings anew."""
        self.fixed.write()

    def share(self, model: nn.Module, folder: Path, *, rank: int, processes: int) -> None:
        """Make nothing: what takes long is the measuring, which files would make inexact."""

    def values(self, model: nn.Module, folder: Path) -> dict[str, float]:
        """Decode and compare all recordings, and keep the results."""
        assert isinstance(model, AudioAutoencoder)
        weight = next(model.parameters())

        @torch.inference_mode()
        def decode(audio: Audio) -> Float[Tensor, "channels time"]:
            decoded = model.decode(model.encode(audio.samples.to(weight)))
            return decoded[0, :, : audio.samples.shape[-1]].float().cpu()

        result = evaluate_autoencoder(
            self.fixed.folder,
            decode,
            sample_rate=self.fixed.sample_rate,
            channels=self.fixed.channels,
            checkpoint=folder.name,
            checkpoint_hash=module_hash(model),
        )
        folder.mkdir(parents=True, exist_ok=True)
        replace_bytes(folder / "reconstruction.json", to_json(result))
        return msgspec.structs.asdict(result.mean)
