"""Text to stereo audio at 44.1 kHz: training and inference after the paper Stable Audio Open.

Names are imported when they are first used, so that `import stable_audio_open` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stable_audio_open.audio.audio import Audio
    from stable_audio_open.checkpoint.hub.card import ModelCard
    from stable_audio_open.pretrained import StableAudio, load
    from stable_audio_open.pretrained_autoencoder import AudioAutoencoder, load_autoencoder

from stable_audio_open.version import VERSION as __version__

__all__ = [
    "Audio",
    "AudioAutoencoder",
    "ModelCard",
    "StableAudio",
    "__version__",
    "load",
    "load_autoencoder",
]

_HOMES = {
    "Audio": "stable_audio_open.audio.audio",
    "AudioAutoencoder": "stable_audio_open.pretrained_autoencoder",
    "ModelCard": "stable_audio_open.checkpoint.hub.card",
    "StableAudio": "stable_audio_open.pretrained",
    "load": "stable_audio_open.pretrained",
    "load_autoencoder": "stable_audio_open.pretrained_autoencoder",
}


if not TYPE_CHECKING:  # which would take any name for a public one

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
