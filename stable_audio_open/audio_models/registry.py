"""Listeners by the names that commands know them by."""

from stable_audio_open.audio_models.clip_tagger import ClipTagger
from stable_audio_open.audio_models.embedder import Embedder
from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.nn.device import find_device

EMBEDDERS = (
    "clap:FOLDER, clap:FILE.pt, openl3:FILE.h5, passt:FILE.pt, panns:FILE.pth, log-mel, musicnn, "
    "musicnn:WEIGHTS"
)
CLIP_TAGGERS = "passt:FILE.pt, panns:FILE.pth"
TAGGERS = f"{CLIP_TAGGERS}, musicnn, musicnn:WEIGHTS"


def load_embedder(name: str, *, device: str = "cpu") -> Embedder:
    """Return the embedder that a command names; nothing is fetched.

    Args:
        name: `clap:` with a folder of transformers' `ClapModel` or a file of LAION-CLAP; `openl3:`,
            `passt:` or `panns:` with a published checkpoint; `log-mel` (a spectrogram, nothing
            trained); `musicnn` or `musicnn:MSD_musicnn`.
        device: Where to compute.

    Raises:
        ValueError: There is no such embedder or device, or its weights are missing.
    """
    find_device(device)
    kind, _, weights = name.partition(":")
    match kind:
        case "clap" if weights:
            from stable_audio_open.audio_models.clap.checkpoint import load_clap

            return load_clap(weights, device=device)
        case "log-mel" if name == kind:
            from stable_audio_open.audio_models.log_mel_embedder import LogMelEmbedder

            return LogMelEmbedder(device=device)
        case "openl3" if weights:
            from stable_audio_open.audio_models.openl3.checkpoint import load_openl3

            return load_openl3(weights, device=device)
        case "passt" if weights:
            from stable_audio_open.audio_models.passt.checkpoint import load_passt
            from stable_audio_open.audio_models.passt.network import PasstEmbedder

            return PasstEmbedder(load_passt(weights, device=device))
        case "panns" if weights:
            from stable_audio_open.audio_models.panns.checkpoint import load_panns_clip
            from stable_audio_open.audio_models.panns.clip import PannsEmbedder

            return PannsEmbedder(load_panns_clip(weights, device=device))
        case "musicnn":
            from stable_audio_open.audio_models.musicnn.network import MusicnnEmbedder, load_musicnn

            return MusicnnEmbedder(load_musicnn(weights or "MTT_musicnn", device=device))
    raise ValueError(f"no embedder {name!r}; allowed: {EMBEDDERS}")


def load_tagger(name: str, *, device: str = "cpu") -> ClipTagger | Tagger:
    """Return what KL hears with: a tagger of clips, or musicnn, whose patches are heard one by one.

    Args:
        name: As for `load_clip_tagger`, or `musicnn` or `musicnn:MSD_musicnn`.
        device: Where to compute.

    Raises:
        ValueError: There is no such tagger or device, or its weights are missing.
    """
    find_device(device)
    kind, _, weights = name.partition(":")
    if kind == "musicnn":
        from stable_audio_open.audio_models.musicnn.network import load_musicnn

        return load_musicnn(weights or "MTT_musicnn", device=device)
    if kind in ("passt", "panns") and weights:
        return load_clip_tagger(name, device=device)
    raise ValueError(f"no tagger {name!r}; allowed: {TAGGERS}")


def load_clip_tagger(name: str, *, device: str = "cpu") -> ClipTagger:
    """Return the tagger of whole clips that a command names; nothing is fetched.

    Args:
        name: `passt:` or `panns:` with a published checkpoint.
        device: Where to compute.

    Raises:
        ValueError: There is no such tagger or device, or its weights are missing.
    """
    find_device(device)
    kind, _, weights = name.partition(":")
    match kind:
        case "passt" if weights:
            from stable_audio_open.audio_models.passt.checkpoint import load_passt

            return load_passt(weights, device=device)
        case "panns" if weights:
            from stable_audio_open.audio_models.panns.checkpoint import load_panns_clip

            return load_panns_clip(weights, device=device)
    raise ValueError(f"no tagger of clips {name!r}; allowed: {CLIP_TAGGERS}")
