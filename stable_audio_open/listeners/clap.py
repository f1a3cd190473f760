"""CLAP: audio and text to vectors of one space, whose cosine says how alike they are."""

import hashlib
import math
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional

CLAP = "clap:"
FILES = ("config.json", "preprocessor_config.json")


class ClapEmbedder:
    """The audio side of CLAP, from a folder in the layout of transformers' `ClapModel`.

    A recording is cut into windows of the model's length (10 s), as few as cover it, evenly spaced;
    each is embedded by itself, which leaves no random crop to the feature extractor. The paper used
    LAION-CLAP and does not name the checkpoint.

    Args:
        folder: With config.json, preprocessor_config.json and the weights.
        device: Where to compute.

    Raises:
        ValueError: When the folder holds no such model.
    """

    def __init__(self, folder: Path, *, device: str = "cpu") -> None:
        missing = [name for name in FILES if not (folder / name).is_file()]
        weights = sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")])
        if missing or not weights:
            raise ValueError(
                f"{folder}: holds no CLAP model ({', '.join(missing) or 'no weights'} missing); "
                "download laion/clap-htsat-fused or another checkpoint of transformers' ClapModel"
            )
        from transformers import ClapFeatureExtractor, ClapModel

        try:
            self.extractor: Any = ClapFeatureExtractor.from_pretrained(folder)
            loaded: Any = ClapModel.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True
            )
        except (OSError, ValueError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"{folder}: not a checkpoint of ClapModel ({reason})") from error
        model, loading = loaded
        absent = sorted(loading["missing_keys"])
        if absent:
            raise ValueError(
                f"{folder}: lacks {len(absent)} weights of ClapModel, {absent[0]} first"
            )
        self.model = model.eval().to(device)
        self.device = device
        self.sample_rate = int(self.extractor.sampling_rate)
        digest = hashlib.sha256()
        for path in weights:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        self.name = f"{CLAP}{folder.resolve().name}:{digest.hexdigest()[:12]}"

    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        """Return the vectors of the windows, of length 1."""
        window = int(self.extractor.nb_max_samples)
        vectors = [self._embed(mono[start : start + window]) for start in _starts(mono, window)]
        return torch.stack(vectors)

    @torch.inference_mode()
    def _embed(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "width"]:
        inputs = self.extractor(
            mono.numpy(), sampling_rate=self.sample_rate, return_tensors="pt"
        ).to(self.device)
        output = self.model.get_audio_features(**inputs)
        features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
        return functional.normalize(features[0].float().cpu(), dim=0)


def _starts(mono: Float[Tensor, "time"], window: int) -> list[int]:
    """Return the first samples of the fewest windows that cover a recording, evenly spaced."""
    length = mono.shape[0]
    count = max(1, math.ceil(length / window))
    return [round(place * (length - window) / max(1, count - 1)) for place in range(count)]
