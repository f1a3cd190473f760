"""CLAP: audio and text to vectors of one space, whose cosine says how alike they are."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from stable_audio_open.audio_models.windows import covering

MAX_TOKENS = 77
"""Tokens that LAION-CLAP reads of a text; more is cut off."""

TEXTS = 32
"""Embedded at once."""

VOCABULARY = ("vocab.json", "merges.txt")


class ClapEmbedder:
    """Both sides of CLAP, as the paper's CLAP score takes them (LAION-CLAP's conventions).

    Audio is rounded to 16 bits first. By default a recording is cut into windows of the model's
    length (10 s), as few as cover it, evenly spaced; each is embedded by itself, which leaves
    nothing to chance. With `crop_seed` a longer recording is embedded once, as LAION-CLAP does: by
    a random excerpt, or where the model fuses, by an excerpt of each third and the whole squeezed
    into 10 s. (Transformers' own feature extractor has a model that fuses do so for short audio
    too; LAION-CLAP does not, nor does this.)

    Args:
        model: transformers' `ClapModel` in evaluation mode.
        extractor: Its `ClapFeatureExtractor`.
        vocabulary: Folder with RoBERTa's vocab.json and merges.txt; read when a text comes.
        name: The checkpoint.
        crop_seed: What each recording's excerpts are drawn from; None for windows.
        device: Where to compute.
    """

    def __init__(
        self,
        model: Any,
        extractor: Any,
        *,
        vocabulary: Path,
        name: str,
        crop_seed: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.model = model.eval().to(device)
        self.extractor = extractor
        self.vocabulary = vocabulary
        self.crop_seed = crop_seed
        self.name = name if crop_seed is None else f"{name} crops of seed {crop_seed}"
        self.device = torch.device(device)
        self.sample_rate = int(extractor.sampling_rate)

    @torch.inference_mode()
    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        """Return the vectors of the windows, of length 1; a single one with `crop_seed`."""
        if self.crop_seed is not None:
            return self.embed_once(mono, seed=self.crop_seed)[None]
        rounded, window = _sixteen_bits(mono), int(self.extractor.nb_max_samples)
        starts = covering(len(rounded), window)
        return torch.stack([self._embed(rounded[start : start + window]) for start in starts])

    @property
    def fuses(self) -> bool:
        """Whether the model takes excerpts of a longer recording together with the whole of it."""
        return bool(self.extractor.truncation == "fusion")

    @torch.inference_mode()
    def embed_once(self, mono: Float[Tensor, "time"], *, seed: int) -> Float[Tensor, "width"]:
        """Return the one vector that LAION-CLAP has for a recording, of length 1.

        Args:
            mono: At `sample_rate`.
            seed: Seed of the excerpts of what is longer than the model's window, 0 to 2^32 - 1.
        """
        return self._embed(_sixteen_bits(mono), seed)

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> Float[Tensor, "texts width"]:
        """Return the vectors of texts, of length 1; each is cut at 77 tokens.

        Raises:
            ValueError: There is no text, or no vocabulary of the model.
        """
        if not texts:
            raise ValueError("no texts to embed; give at least one")
        vectors = []
        for start in range(0, len(texts), TEXTS):
            tokens = self._tokenizer(
                list(texts[start : start + TEXTS]),
                padding=True,
                truncation=True,
                max_length=MAX_TOKENS,
                return_tensors="pt",
            ).to(self.device)
            output = self.model.get_text_features(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            )
            vectors.append(_vectors(output))
        return torch.cat(vectors)

    def _embed(self, mono: Float[Tensor, "time"], seed: int = 0) -> Float[Tensor, "width"]:
        with _numpy_seeded(seed):
            inputs = self.extractor(
                mono.numpy(), sampling_rate=self.sample_rate, return_tensors="pt"
            )
        hop = int(self.extractor.hop_length)
        longer = len(mono) // hop > int(self.extractor.nb_max_samples) // hop
        output = self.model.get_audio_features(
            input_features=inputs["input_features"].to(self.device),
            is_longer=torch.tensor([[longer]], device=self.device),
        )
        return _vectors(output)[0]

    @cached_property
    def _tokenizer(self) -> Any:
        missing = [name for name in VOCABULARY if not (self.vocabulary / name).is_file()]
        if missing:
            raise ValueError(
                f"{self.vocabulary}: {' and '.join(missing)} missing, which embedding texts needs; "
                "download them from https://huggingface.co/FacebookAI/roberta-base"
            )
        from transformers import RobertaTokenizer

        tokenizer: Any = RobertaTokenizer.from_pretrained(self.vocabulary)
        wanted = self.model.config.text_config.vocab_size
        if len(tokenizer) != wanted:
            raise ValueError(
                f"{self.vocabulary}: the vocabulary has {len(tokenizer)} tokens, but the model "
                f"{wanted}"
            )
        return tokenizer


def _vectors(output: Any) -> Float[Tensor, "batch width"]:
    features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return functional.normalize(features.float().cpu(), dim=-1)


def _sixteen_bits(mono: Float[Tensor, "time"]) -> Float[Tensor, "time"]:
    """Return what is left of audio after integers of 16 bits, towards zero as in LAION-CLAP."""
    return (mono.clamp(-1, 1) * 32767).trunc() / 32767


@contextmanager
def _numpy_seeded(seed: int) -> Iterator[None]:
    """Seed numpy's global generator, which the extractor draws from, and put it back."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
