"""What kind of file a recording is, and whether all of it is there."""

from collections.abc import Callable
from io import BufferedReader

from stable_audio_open.audio.containers.chunks import (
    aiff_layout,
    au_layout,
    caf_layout,
    w64_layout,
    wav_layout,
)
from stable_audio_open.audio.containers.flac import flac_layout
from stable_audio_open.audio.containers.layout import AS_IT_IS, Layout
from stable_audio_open.audio.containers.mp3 import mp3_layout
from stable_audio_open.audio.containers.mpeg import behind_tags, read_at, starts_as_mp3
from stable_audio_open.audio.containers.ogg import ogg_layout

LONGEST_FRAME = 1 << 13
"""Bytes, and more than any frame of MP3 and the three after it have."""

BY_MAGIC: dict[bytes, Callable[[BufferedReader, int], Layout]] = {
    b"RIFF": wav_layout,
    b"RIFX": wav_layout,
    b"RF64": wav_layout,
    b"riff": w64_layout,
    b"caff": caf_layout,
    b".snd": au_layout,
    b"dns.": au_layout,
    b"OggS": ogg_layout,
    b"fLaC": flac_layout,
}


def examine(file: BufferedReader) -> Layout:
    """Look at a file's own structure; what no kind is known of is left to libsndfile."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    look = BY_MAGIC.get(head[:4])
    if look is not None:
        return look(file, size)
    if head[:4] == b"FORM":
        return aiff_layout(file, size) if head[8:12] in (b"AIFF", b"AIFC") else AS_IT_IS
    if head[:3] == b"ID3":
        behind = behind_tags(file, 0, size)
        if read_at(file, behind, 4) == b"fLaC":
            return flac_layout(file, size, start=behind)
    if starts_as_mp3(head):
        return mp3_layout(file, size) or AS_IT_IS
    # A recorder of streams may begin amid a frame.
    return mp3_layout(file, size, within=min(size, LONGEST_FRAME)) or AS_IT_IS
