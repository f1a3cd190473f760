"""Listeners by the names that commands know them by."""

from pathlib import Path

from stable_audio_open.listeners.embedder import Embedder

EMBEDDERS = "clap:FOLDER, log-mel, musicnn, musicnn:WEIGHTS"


def load_embedder(name: str, *, device: str = "cpu") -> Embedder:
    """Return the embedder that a command names; nothing is fetched.

    Args:
        name: `clap:FOLDER` (transformers' `ClapModel`), `log-mel` (a spectrogram, nothing trained),
            `musicnn` or `musicnn:MSD_musicnn`.
        device: Where to compute.

    Raises:
        ValueError: There is no such embedder, or its weights are missing.
    """
    kind, _, weights = name.partition(":")
    if kind == "clap" and weights:
        from stable_audio_open.listeners.clap import ClapEmbedder

        return ClapEmbedder(Path(weights), device=device)
    if name == "log-mel":
        from stable_audio_open.listeners.log_mel_embedder import LogMelEmbedder

        return LogMelEmbedder(device=device)
    if kind == "musicnn":
        from stable_audio_open.listeners.musicnn import MusicnnEmbedder, load_musicnn

        return MusicnnEmbedder(load_musicnn(weights or "MTT_musicnn", device=device))
    raise ValueError(f"no embedder {name!r}; allowed: {EMBEDDERS}")
