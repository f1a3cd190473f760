"""How far decoding in half precision is from float64, in decibels of signal to noise.

    python scripts/measure_precision.py

Five sounds of a model are decoded in each format, and with layers that stay in float32: the Snake
activations, or the last blocks of the decoder with all that follows. 50 dB are the noise of eight
bits, 98 dB that of sixteen. No mixture of bfloat16 comes near float16: what is lost is lost in the
first blocks, where most of the weights are.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Sequence

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from stable_audio_open import StableAudio
from stable_audio_open.autoencoder.oobleck import OobleckDecoder
from stable_audio_open.generate import generate_latents
from stable_audio_open.nn.snake import Snake

PROMPTS = ("deep kick drum", "cymbal crash", "tabla", "rain", "piano")


class InSingle(nn.Module):
    """A layer in float32 among others in half precision."""

    def __init__(self, layer: nn.Module, *, after: torch.dtype) -> None:
        super().__init__()
        self.layer = layer.float()
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer; what comes after it gets its own type."""
        out: Tensor = self.layer(x.float())
        return out.to(self.after)


def main(arguments: Sequence[str] | None = None) -> None:
    """Decode, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="tiny", help="any source that load takes")
    parser.add_argument("--steps", type=int, default=50, help="sampling steps (default: 50)")
    parser.add_argument("--duration", type=float, default=2.0, help="seconds (default: 2)")
    options = parser.parse_args(arguments)
    model = StableAudio.from_pretrained(options.model, device="cpu", dtype="float32")
    latents = [
        generate_latents(
            model,
            prompt,
            duration=options.duration,
            steps=options.steps,
            seed=seed,
            progress=False,
        ).latents
        for seed, prompt in enumerate(PROMPTS)
    ]
    table = Table("decoder", *PROMPTS, title="signal to noise in dB", title_justify="left")
    for name, values in measure(model.autoencoder.decoder, latents).items():
        table.add_row(name, *(f"{value:.1f}" for value in values))
    console = Console()
    console.width = max(console.width, 110)
    console.print(table)


@torch.inference_mode()
def measure(decoder: nn.Module, latents: Sequence[Tensor]) -> dict[str, list[float]]:
    """Return the decibels of each sound, by the decoder's name."""
    assert isinstance(decoder, OobleckDecoder)
    exact = copy.deepcopy(decoder).double()
    expected = [exact(x.double()) for x in latents]
    half, single = torch.bfloat16, torch.float32
    candidates = {
        "float32": (in_format(decoder, single), single),
        "float16": (in_format(decoder, torch.float16), torch.float16),
        "bfloat16": (in_format(decoder, half), half),
        "bfloat16, Snake in float32": (in_format(decoder, half, snake=True), half),
        "bfloat16, last block in float32": (in_format(decoder, half, last=1), half),
        "bfloat16, last three in float32": (in_format(decoder, half, last=3), half),
        "bfloat16, last two and Snake": (in_format(decoder, half, last=2, snake=True), half),
        "float16, last block in float32": (
            in_format(decoder, torch.float16, last=1),
            torch.float16,
        ),
    }
    return {
        name: [
            decibels(candidate(x.to(kind)).double(), whole)
            for x, whole in zip(latents, expected, strict=True)
        ]
        for name, (candidate, kind) in candidates.items()
    }


def in_format(
    decoder: OobleckDecoder, kind: torch.dtype, *, last: int = 0, snake: bool = False
) -> OobleckDecoder:
    """Return a copy in half precision.

    Args:
        decoder: In float32.
        kind: Its format.
        last: Blocks at the end that stay in float32, with the layers behind them.
        snake: Whether all Snake activations stay so too.
    """
    found = copy.deepcopy(decoder).to(kind)
    if snake:
        for module in [*found.modules()]:
            for name, child in module.named_children():
                if isinstance(child, Snake):
                    own = decoder.get_submodule(_path(found, child))
                    setattr(module, name, InSingle(copy.deepcopy(own), after=kind))
    if last:
        first = len(decoder.blocks) - last
        for index in range(first, len(decoder.blocks)):
            own = copy.deepcopy(decoder.blocks[index])
            found.blocks[index] = InSingle(own, after=torch.float32)
        found.snake = copy.deepcopy(decoder.snake)
        found.output = copy.deepcopy(decoder.output)
    return found


def _path(root: nn.Module, wanted: nn.Module) -> str:
    (path,) = (str(name) for name, module in root.named_modules() if module is wanted)
    return path


def decibels(found: Tensor, expected: Tensor) -> float:
    """Return the power of a sound over that of the difference, in decibels."""
    noise = (found - expected).square().sum()
    return float(10 * torch.log10(expected.square().sum() / noise))


if __name__ == "__main__":
    main()
