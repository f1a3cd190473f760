"""The text side of transformers' `ClapModel`, beside the audio side of the same folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from stable_audio_open.listeners.clap import ClapEmbedder


class ClapTextEmbedder:
    """Both sides of CLAP in one.

    Args:
        audio: The audio side, whose model has the text side too.
        folder: Where it came from, with a tokenizer.

    Raises:
        ValueError: The folder holds no tokenizer.
    """

    def __init__(self, audio: ClapEmbedder, folder: Path) -> None:
        from transformers import AutoTokenizer

        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"{folder}: holds no tokenizer ({reason}); download tokenizer.json and "
                "tokenizer_config.json of the checkpoint too"
            ) from error
        self.audio = audio
        self.name = audio.name
        self.sample_rate = audio.sample_rate

    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        """Return the vectors of the windows, of length 1."""
        return self.audio(mono)

    @torch.inference_mode()
    def embed_text(self, prompts: Sequence[str]) -> Float[Tensor, "prompts width"]:
        """Return the vectors of texts, of length 1; the tokenizer cuts what is too long."""
        inputs = self.tokenizer(list(prompts), padding=True, truncation=True, return_tensors="pt")
        output = self.audio.model.get_text_features(
            input_ids=inputs["input_ids"].to(self.audio.device),
            attention_mask=inputs["attention_mask"].to(self.audio.device),
        )
        features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
        return functional.normalize(features.float().cpu(), dim=1)
