"""A prompt as conditioning tokens, through the encoder of a T5 (paper reference [9])."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from stable_audio_open.conditions import Condition
from stable_audio_open.nn.device import sent

logger = logging.getLogger(__name__)


@runtime_checkable
class Tokenizer(Protocol):
    """The part of a transformers tokenizer that is used here."""

    def __call__(self, text: list[str], **settings: Any) -> Any:
        """Return an object with `input_ids` and `attention_mask`."""


class Tokens(NamedTuple):
    """Token numbers, padded to a fixed length, and which of them are real."""

    ids: Int[Tensor, "batch tokens"]
    mask: Bool[Tensor, "batch tokens"]


class TextConditioner(nn.Module):
    """Tokens of a prompt: T5's last hidden states, with the rows of padding set to 0.

    Args:
        tokenizer: Strings to token numbers.
        encoder: A transformers `T5EncoderModel`, or anything called and answering alike.
        encoder_width: Features of the encoder's output.
        width: Features of the tokens; a linear projection is learned where the two differ.
        max_length: Tokens per prompt; longer prompts are cut.
        trainable: Let gradients reach the encoder; in training its dropout is on, then.
    """

    def __init__(
        self,
        *,
        tokenizer: Tokenizer,
        encoder: nn.Module,
        encoder_width: int,
        width: int,
        max_length: int,
        trainable: bool = False,
    ) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.encoder = encoder
        self.projection = nn.Linear(encoder_width, width) if encoder_width != width else None
        self.max_length = max_length
        self.trainable = trainable
        self.encoder.requires_grad_(trainable).train(trainable)

    def prepare(self, prompts: Sequence[str]) -> Tokens:
        """Tokenise prompts, padded to `max_length`, on the module's device.

        A prompt of more tokens is cut, with a warning in the log.
        """
        encoded = self.tokenizer(
            list(prompts),
            padding="max_length",
            truncation=True,
            max_length=self.max_length,
            return_tensors="pt",
        )
        mask = encoded["attention_mask"].bool()
        for prompt, full in zip(prompts, mask.all(dim=1).tolist(), strict=True):
            if full:
                self._warn_if_cut(prompt)
        return Tokens(sent(encoded["input_ids"], self.device), sent(mask, self.device))

    def _warn_if_cut(self, prompt: str) -> None:
        count = len(self.tokenizer([prompt])["input_ids"][0])
        if count > self.max_length:
            logger.warning(
                "only the first %d of the prompt's %d tokens are used: %.60s...",
                self.max_length,
                count,
                prompt,
            )

    @property
    def device(self) -> torch.device:
        """Where the encoder's weights are."""
        return next(self.encoder.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the encoder's weights."""
        return next(self.encoder.parameters()).dtype

    def forward(self, tokens: Tokens) -> Condition:
        """Embed tokens as `[batch, max_length, width]`."""
        with torch.set_grad_enabled(self.trainable and torch.is_grad_enabled()):
            hidden = self.encoder(
                input_ids=tokens.ids, attention_mask=tokens.mask.long()
            ).last_hidden_state
        if self.projection is not None:
            hidden = self.projection(hidden.to(self.projection.weight.dtype))
        return Condition(hidden * tokens.mask[..., None].to(hidden.dtype), tokens.mask)

    def train(self, mode: bool = True) -> "TextConditioner":
        """Set the mode; a frozen encoder stays in evaluation mode (no dropout)."""
        super().train(mode)
        if not self.trainable:
            self.encoder.eval()
        return self

    def extra_repr(self) -> str:
        """Show the length."""
        return f"max_length={self.max_length}, trainable={self.trainable}"
