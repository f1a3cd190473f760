"""What is trained on: recordings, or what was encoded of them."""

from msgspec import Struct

from stable_audio_open.config.fields import (
    Fraction,
    Loudness,
    Name,
    NonNegativeFloat,
    Size,
    Workers,
)
from stable_audio_open.prompts import PromptSettings


class FolderConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="folder"):
    """A folder of recordings with a manifest of captions beside them, or shards of recordings."""

    path: Name
    """The folder; relative paths start at the current directory."""
    manifest: Name = "manifest.jsonl"
    """One JSON object a line, or the `index.json` of a set that `stable-audio-open curate build
    --form shards` wrote, whose recordings are read inside its tars; relative to `path`.

    Files of a manifest may lie in tars too: `shard-000000.tar/000000012.flac`."""
    validation: Name | None = None
    """Manifest, or `index.json`, of recordings to validate on, relative to `path`; no validation
    when null."""
    crops_per_recording: Size = 3
    """Up to so many random crops of each recording per epoch (section 3.1)."""
    trailing_silence: NonNegativeFloat = 0.0
    """Up to so many seconds of the silence after a recording count as part of it, at random.

    A set of very short recordings then teaches every length that fits the window."""
    most_unusable: Fraction = 0.05
    """Share of the recordings that may be unreadable before a run stops; they are left out."""
    caption_share: Fraction = 0.5
    """Share of the prompts that are whole captions; the others are some words and tags."""
    prompts: PromptSettings | None = None
    """How the others are drawn instead; some words and tags when null."""
    whole_seconds: bool = False
    """Windows of long recordings start at whole seconds, all that `seconds_start` can tell apart.

    A small set is learnt sooner; otherwise they start anywhere."""
    polarity_flip: Fraction = 0.0
    """Share of an autoencoder's training crops that are turned upside down (-x for x).

    0.5 in the published training; the ear does not tell the difference."""
    loudness: Loudness | None = None
    """Loudness in LUFS (BS.1770) that an autoencoder's crops are brought to, but never above full
    scale; they stay as loud as they are when null, as the paper has it."""
    workers: Workers = 0
    """Processes that read ahead."""
    latent_cache: Name | None = None
    """Folder of the encoded latents; beside the recordings when null."""


class ShardsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="shards"):
    """Recordings that `stable-audio-open encode` turned into latents; for diffusion models."""

    path: Name
    """Folder of the shards and their `index.json`."""
    validation: Name | None = None
    """Folder of the shards of recordings to validate on; no validation when null."""
    crops_per_recording: Size = 3
    """Up to so many random windows of each recording per epoch."""
    trailing_silence: NonNegativeFloat = 0.0
    """Up to so many seconds of the silence after a recording count as part of it, at random."""
    caption_share: Fraction = 0.5
    """Share of the prompts that are whole captions; the others are some words and tags."""
    prompts: PromptSettings | None = None
    """How the others are drawn instead; some words and tags when null."""
    whole_seconds: bool = False
    """Windows of long recordings start at whole seconds; otherwise they start anywhere."""
    workers: Workers = 0
    """Processes that read ahead."""


DataConfig = FolderConfig | ShardsConfig
