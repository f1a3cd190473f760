"""Make a small, untrained T5 encoder and a Unigram tokenizer for the captions of a manifest.

    python scripts/make_text_encoder.py --data data/sonic_pi --output data/tiny_text_encoder

The folder is in transformers' layout, as the `model` of a text conditioner expects it. The weights
are random (and the same for the same seed): train them with the transformer
(`"trainable": true`).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

from stable_audio_open.data.manifest import read_manifest

PAD, END, UNKNOWN = "<pad>", "</s>", "<unk>"

# Words that a caption may not hold but a prompt will; they share pieces with words that it does.
PROMPT_WORDS = [
    "a",
    "the",
    "of",
    "with",
    "and",
    "deep",
    "short",
    "long",
    "soft",
    "hard",
    "loud",
    "quiet",
    "low",
    "high",
    "sound",
    "hit",
    "big",
    "small",
]


def make_tokenizer(texts: list[str], *, vocabulary: int) -> PreTrainedTokenizerFast:
    """Train a lower-casing Unigram tokenizer that ends every text with `</s>`, as T5's does."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace("_", " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    alphabet = sorted("abcdefghijklmnopqrstuvwxyz0123456789'-,.")
    trainer = trainers.UnigramTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, END, UNKNOWN],
        unk_token=UNKNOWN,
        initial_alphabet=alphabet,
        show_progress=False,
    )
    words = sorted({word for text in (*texts, *PROMPT_WORDS) for word in text.lower().split()})
    # Only what two different words share can become a piece: the plurals make pieces of words.
    tokenizer.train_from_iterator([*texts, *PROMPT_WORDS, *(f"{word}s" for word in words)], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {END}", special_tokens=[(END, tokenizer.token_to_id(END))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, unk_token=UNKNOWN
    )


def make_encoder(
    vocabulary: int, *, width: int, layers: int, heads: int, seed: int
) -> T5EncoderModel:
    """Return a T5 encoder with random weights."""
    config = T5Config(
        vocab_size=vocabulary,
        d_model=width,
        d_kv=width // heads,
        d_ff=2 * width,
        num_layers=layers,
        num_heads=heads,
        pad_token_id=0,
        eos_token_id=1,
        dropout_rate=0.1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return T5EncoderModel(config)


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of recordings")
    parser.add_argument(
        "--manifest", default="manifest.jsonl", help="in that folder, such as train.jsonl"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--vocabulary", type=int, default=512)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        recordings = read_manifest(options.data, options.manifest)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    tokenizer = make_tokenizer(
        [text for r in recordings for text in (*r.all_captions, *r.tags)],
        vocabulary=options.vocabulary,
    )
    encoder = make_encoder(
        len(tokenizer),
        width=options.width,
        layers=options.layers,
        heads=options.heads,
        seed=options.seed,
    )
    options.output.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(options.output)
    encoder.save_pretrained(options.output)
    numbers = sum(p.numel() for p in encoder.parameters())
    print(f"{options.output}: {len(tokenizer)} tokens, {numbers:,} parameters")


if __name__ == "__main__":
    main()
