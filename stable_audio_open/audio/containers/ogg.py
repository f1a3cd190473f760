"""Ogg: pages, of which the last one says that it is."""

from io import BufferedReader

from stable_audio_open.audio.containers.layout import AS_IT_IS, TRUNCATED, Layout

HEADER = 27
START_OF_STREAM, END_OF_STREAM = 2, 4


def ogg_layout(file: BufferedReader, size: int) -> Layout:
    """Walk over the pages; libsndfile shortens a cut file, and reads the first of several."""
    position, has_begun, ends = 0, False, False
    while position < size:
        file.seek(position)
        head = file.read(HEADER)
        if len(head) < HEADER or head[:4] != b"OggS":
            # What follows the end of the stream is no sound.
            return AS_IT_IS if ends else Layout(TRUNCATED)
        table = file.read(head[26])
        flags = head[5]
        if flags & START_OF_STREAM and has_begun:
            return Layout(
                "holds several recordings one after the other (a chained Ogg file); save each as "
                "a file of its own"
            )
        has_begun = not flags & START_OF_STREAM
        position += HEADER + head[26] + sum(table)
        if len(table) < head[26] or position > size:
            return Layout(TRUNCATED)
        ends = bool(flags & END_OF_STREAM)
    return AS_IT_IS if ends else Layout(TRUNCATED)
