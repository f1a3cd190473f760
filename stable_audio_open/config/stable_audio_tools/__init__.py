"""stable-audio-tools' `model_config.json` to the native configuration, and back."""

from stable_audio_open.config.stable_audio_tools.layout import T5_NAMES
from stable_audio_open.config.stable_audio_tools.reading import from_stable_audio_tools
from stable_audio_open.config.stable_audio_tools.writing import to_stable_audio_tools

__all__ = ["T5_NAMES", "from_stable_audio_tools", "to_stable_audio_tools"]
