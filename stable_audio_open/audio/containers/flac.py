"""FLAC whose number of samples was never written, as by an encoder that writes to a pipe."""

from io import BufferedReader

import soundfile

from stable_audio_open.audio.containers.layout import AS_IT_IS, Layout
from stable_audio_open.files.spliced import Span

TOTAL = 18
"""Place of eight bytes, of which the last 36 bits are the number of samples."""
BITS = 36
BLOCK = 1 << 18


class ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile is not typed
    """A file in which soundfile seeks only when told: not around each reading, as it would."""

    def seekable(self) -> bool:
        """Return False; `seek` goes on working where libsndfile can."""
        return False


def flac_layout(file: BufferedReader, size: int) -> Layout:
    """Decode a file of unknown length once, to count its samples."""
    file.seek(TOTAL)
    field = file.read(8)
    if len(field) < 8 or int.from_bytes(field, "big") % (1 << BITS):
        return AS_IT_IS
    frames = 0
    file.seek(0)
    try:
        with ForwardFile(file) as sound:
            while count := len(sound.read(BLOCK, dtype="float32", always_2d=True)):
                frames += count
    except soundfile.LibsndfileError:
        return AS_IT_IS  # opening it says what is wrong
    known = int.from_bytes(field, "big") | frames
    after = TOTAL + len(field)
    return Layout(parts=(Span(0, TOTAL), known.to_bytes(8, "big"), Span(after, size - after)))
