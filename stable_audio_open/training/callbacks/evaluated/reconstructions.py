"""The metrics of tables 3 and 4, of an autoencoder on a fixed set."""

import shutil
from pathlib import Path

import msgspec
from jaxtyping import Float
from torch import Tensor, nn

from stable_audio_open.audio.audio import Audio
from stable_audio_open.autoencoder.autoencoder import AudioAutoencoder
from stable_audio_open.evaluation.distances import Distances
from stable_audio_open.evaluation.fixed_set import FixedSet
from stable_audio_open.evaluation.reconstruction import (
    ReconstructedRecording,
    measure_decoding,
    reconstruction_result,
)
from stable_audio_open.evaluation.result import to_json
from stable_audio_open.evaluation.weights import module_hash
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.training.levels import level_lost, share_too_quiet, warn_too_quiet

SHARES = "shares"


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
        """Decode and compare what falls to this process, into `folder/shares`."""
        assert isinstance(model, AudioAutoencoder)
        quiet = 0

        def decode(audio: Audio) -> Float[Tensor, "channels time"]:
            nonlocal quiet
            decoded = model.reconstruct(audio.samples)
            quiet += int(share_too_quiet(level_lost(decoded, audio.samples)))
            return decoded[0]

        mine = {
            recording.id: measure_decoding(
                self.fixed.file(recording),
                decode,
                sample_rate=self.fixed.sample_rate,
                channels=self.fixed.channels,
            )
            for recording in self.fixed.recordings[rank::processes]
        }
        if quiet:
            which = f"{quiet} of {len(mine)} reconstructions"
            warn_too_quiet(f"evaluation, {folder.name}", which)
        shares = folder / SHARES
        shares.mkdir(parents=True, exist_ok=True)
        # JSON has no word for infinity, which a ratio in dB may be.
        replace_bytes(shares / f"{rank}.msgpack", msgspec.msgpack.encode(mine))

    def values(self, model: nn.Module, folder: Path) -> dict[str, float]:
        """Draw the result from all shares, and keep it."""
        shares = folder / SHARES
        measured: dict[str, ReconstructedRecording | None] = {}
        for share in shares.iterdir():
            measured |= msgspec.msgpack.decode(
                share.read_bytes(), type=dict[str, ReconstructedRecording | None]
            )
        result = reconstruction_result(
            self.fixed.folder,
            {recording.id: measured[recording.id] for recording in self.fixed.recordings},
            checkpoint=folder.name,
            checkpoint_hash=module_hash(model),
        )
        replace_bytes(folder / "reconstruction.json", to_json(result))
        shutil.rmtree(shares, ignore_errors=True)
        return msgspec.structs.asdict(result.mean)
