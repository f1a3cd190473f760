"""The protocols by name."""

from stable_audio_open.evaluation.protocols.audiocaps import AUDIOCAPS
from stable_audio_open.evaluation.protocols.protocol import Protocol
from stable_audio_open.evaluation.protocols.song_describer import SONG_DESCRIBER

PROTOCOLS: dict[str, Protocol] = {p.name: p for p in (AUDIOCAPS, SONG_DESCRIBER)}
