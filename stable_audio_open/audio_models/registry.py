"""The audio models by role and name, in one grammar: `NAME`, or `NAME:WEIGHTS`.

Commands, curation and training configurations name models in this way. Nothing is fetched, and a
network's module is imported when it is loaded.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from stable_audio_open.audio_models.clip_tagger import ClipTagger
from stable_audio_open.audio_models.embedder import Embedder, JointEmbedder
from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.files.pipes_and_devices import refuse_special_inside
from stable_audio_open.nn.device import find_device

Model = TypeVar("Model", covariant=True)

WEIGHTS = (".pt", ".pth", ".bin", ".h5", ".safetensors", ".json", ".csv", ".index")
"""Ends of the names of files that models are read from."""


@dataclass(frozen=True)
class RegistryEntry(Generic[Model]):
    """A model in one role."""

    load: Callable[[str, str], Model]
    """Weights (empty where none are named) and device to the model."""
    forms: tuple[str, ...]
    """What may be given, as errors list it: `musicnn`, `musicnn:WEIGHTS`."""

    def takes(self, colon: str, weights: str) -> bool:
        """Return whether a name may have, or lack, weights behind a colon."""
        with_weights = any(":" in form for form in self.forms)
        alone = any(":" not in form for form in self.forms)
        return with_weights if weights else alone and (with_weights or not colon)


@dataclass(frozen=True)
class Role(Generic[Model]):
    """What a model is for, and the models that can be."""

    title: str
    """The role in an error: `no TITLE 'x'`."""
    entries: Mapping[str, RegistryEntry[Model]]
    """Models by name."""
    lacking: str | None = None
    """What the models of other roles lack for this one, in words."""

    @property
    def forms(self) -> tuple[str, ...]:
        """All that may be given."""
        return tuple(form for entry in self.entries.values() for form in entry.forms)

    @property
    def allowed(self) -> str:
        """All that may be given, as errors list it."""
        return ", ".join(self.forms)

    def load(self, name: str, *, device: str = "cpu") -> Model:
        """Return the model of a name.

        Args:
            name: One of `forms`, with a file, a folder or the name of weights behind the colon.
            device: Where to compute.

        Raises:
            ValueError: There is no such model or device, or its weights are missing or damaged.
        """
        find_device(device)
        kind, colon, weights = name.partition(":")
        entry = self.entries.get(kind)
        if entry is not None and entry.takes(colon, weights):
            if weights:
                refuse_special_inside(Path(weights), suffixes=WEIGHTS)
            return entry.load(weights, device)
        if self.lacking is not None and entry is None and kind in EMBEDDERS.entries:
            raise ValueError(f"{name}: {self.lacking}; use {' or '.join(self.forms)}")
        raise ValueError(f"no {self.title} {name!r}; allowed: {self.allowed}")


def _clap(weights: str, device: str) -> JointEmbedder:
    from stable_audio_open.audio_models.clap.checkpoint import load_clap

    return load_clap(weights, device=device)


def _openl3(weights: str, device: str) -> Embedder:
    from stable_audio_open.audio_models.openl3.checkpoint import load_openl3

    return load_openl3(weights, device=device)


def _passt(weights: str, device: str) -> ClipTagger:
    from stable_audio_open.audio_models.passt.checkpoint import load_passt

    return load_passt(weights, device=device)


def _passt_embedder(weights: str, device: str) -> Embedder:
    from stable_audio_open.audio_models.passt.checkpoint import load_passt
    from stable_audio_open.audio_models.passt.network import PasstEmbedder

    return PasstEmbedder(load_passt(weights, device=device))


def _panns_clip(weights: str, device: str) -> ClipTagger:
    from stable_audio_open.audio_models.panns.checkpoint import load_panns_clip

    return load_panns_clip(weights, device=device)


def _panns_embedder(weights: str, device: str) -> Embedder:
    from stable_audio_open.audio_models.panns.checkpoint import load_panns_clip
    from stable_audio_open.audio_models.panns.clip import PannsEmbedder

    return PannsEmbedder(load_panns_clip(weights, device=device))


def _panns_frames(weights: str, device: str) -> Tagger:
    from stable_audio_open.audio_models.panns.checkpoint import load_panns

    return load_panns(weights, device=device)


def _log_mel(weights: str, device: str) -> Embedder:
    from stable_audio_open.audio_models.log_mel_embedder import LogMelEmbedder

    del weights  # a spectrogram: nothing is trained
    return LogMelEmbedder(device=device)


def _mean_log_mel(weights: str, device: str) -> Embedder:
    from stable_audio_open.audio_models.log_mel_embedder import MeanLogMelEmbedder

    del weights  # as above
    return MeanLogMelEmbedder(device=device)


def _musicnn(weights: str, device: str) -> Tagger:
    from stable_audio_open.audio_models.musicnn.network import load_musicnn

    return load_musicnn(weights or "MTT_musicnn", device=device)


def _musicnn_embedder(weights: str, device: str) -> Embedder:
    from stable_audio_open.audio_models.musicnn.network import MusicnnEmbedder, load_musicnn

    return MusicnnEmbedder(load_musicnn(weights or "MTT_musicnn", device=device))


_CLAP = RegistryEntry(_clap, ("clap:FOLDER", "clap:FILE.pt"))
_MUSICNN = RegistryEntry(_musicnn, ("musicnn", "musicnn:WEIGHTS"))
_PASST = RegistryEntry(_passt, ("passt:FILE.pt",))
_PANNS = RegistryEntry(_panns_clip, ("panns:FILE.pth",))

EMBEDDERS: Role[Embedder] = Role(
    "embedder",
    {
        "clap": _CLAP,
        "openl3": RegistryEntry(_openl3, ("openl3:FILE.h5",)),
        "passt": RegistryEntry(_passt_embedder, _PASST.forms),
        "panns": RegistryEntry(_panns_embedder, _PANNS.forms),
        "log-mel": RegistryEntry(_log_mel, ("log-mel",)),
        "mean-log-mel": RegistryEntry(_mean_log_mel, ("mean-log-mel",)),
        "musicnn": RegistryEntry(_musicnn_embedder, _MUSICNN.forms),
    },
)
"""Audio to vectors, for the Frechet distance, near copies and memorisation."""

JOINT_EMBEDDERS: Role[JointEmbedder] = Role(
    "embedder of audio and text", {"clap": _CLAP}, lacking="has no text side"
)
"""Audio and text to vectors of one space, for the CLAP score."""

TAGGERS: Role[Tagger | ClipTagger] = Role(
    "tagger", {"passt": _PASST, "panns": _PANNS, "musicnn": _MUSICNN}
)
"""Audio to classes, for the KL divergence: of clips, or of musicnn's patches one by one."""

MUSIC_TAGGERS: Role[Tagger] = Role(
    "tagger", {"panns": RegistryEntry(_panns_frames, ("panns:PATH",)), "musicnn": _MUSICNN}
)
"""Audio to probabilities of classes frame by frame, for the music gate."""
