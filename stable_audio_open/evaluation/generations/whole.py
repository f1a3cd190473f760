"""Whether a file that was made before can be kept."""

import logging
from pathlib import Path

from stable_audio_open.audio.files import AudioFileError, audio_info, read_audio

logger = logging.getLogger(__name__)


def is_whole(path: Path) -> bool:
    """Return whether a file is there and not cut off; a damaged one is named in a warning.

    The end is decoded, since the header of a FLAC file says nothing of where the file ends. Damage
    in its middle is not found.
    """
    if not path.exists():
        return False
    try:
        info = audio_info(path)
        read_audio(path, start=(info.frames - 1) / info.sample_rate)
    except AudioFileError as error:
        logger.warning("made again: %s", error)
        return False
    return True
