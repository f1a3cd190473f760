"""The frames of an MPEG audio file, counted.

libsndfile believes the number in the first frame (Xing), guesses one from the first bit rate where
there is none, stops there, and seeks by what an ID3 tag says of its own size. Here the headers of
all frames are read, as ISO/IEC 11172-3 and 13818-3 have them, and a file of which libsndfile would
read less or more gets a first frame with the right number.
"""

import struct
from io import BufferedReader
from typing import NamedTuple

from stable_audio_open.audio.containers.layout import AS_IT_IS, TRUNCATED, Layout
from stable_audio_open.audio.containers.mpeg import (
    TABLE,
    Kind,
    behind_fields,
    behind_tags,
    entry_of,
    find_frames,
    frame_run,
    kind_of,
    read_at,
    side_end,
)
from stable_audio_open.files.joined_parts import Span

FIELDS = {1: 4, 2: 4, 4: 100, 8: 4}
"""Bytes of the fields that stand in the first frame, by their flags."""
PADDING = 22
"""Where in what encoders add to these the number of samples added at the end stands."""
ROOM = 192
"""Bytes in which the side information and the number of frames fit."""


class Count(NamedTuple):
    """The first frame of a file that was not streamed: no sound, but what the file holds."""

    size: int
    """Bytes of that frame."""
    frames: int | None
    length: int | None
    """Bytes of the sound and this frame."""
    place: int | None
    """Where in the frame the number of frames stands; None where libsndfile does not look."""


def mp3_layout(file: BufferedReader, size: int, *, within: int | None = None) -> Layout | None:
    """Count the frames of a file.

    Args:
        file: Read as a whole, headers alone.
        size: Its bytes.
        within: Bytes at the start that a first frame is looked for in; all by default.

    Returns:
        None where no frames are found.
    """
    declared = behind_tags(file, 0, size)
    start = find_frames(
        file, min(declared, behind_fields(file)), size if within is None else within
    )
    if start is None:
        return None
    kind = kind_of(read_at(file, start, 4))
    assert kind is not None
    first = _count_frame(file, start)
    position = start if first is None else start + first.size
    spans: list[Span] = []
    frames = 0
    while True:
        run = frame_run(file, position, size, kind)
        spans.append(Span(position, run.end - position))
        frames += run.frames
        behind = behind_tags(file, run.end, size)
        following = find_frames(file, behind, size)
        if following is None:
            break
        if following != behind:
            return Layout(
                f"the file is damaged: {following - behind} bytes at byte {behind} are no MP3 "
                "frames; download or export it again"
            )
        other = kind_of(read_at(file, following, 4))
        if other != kind:
            return Layout(
                f"its sample rate or kind changes at byte {following}, as where two files were "
                "joined; save each as a file of its own"
            )
        again = _count_frame(file, following)
        position = following if again is None else following + again.size
    if kind.layer != 3:
        return Layout(frames=frames * kind.samples)
    if first is not None and first.frames is not None:
        # A last frame that is not whole is no damage, and some count the first frame too.
        is_whole = first.length is not None and start + first.length <= size
        if first.frames > frames + 1 and not is_whole:
            return Layout(TRUNCATED)
    is_plain = len(spans) == 1 and start == declared and first is not None
    if is_plain and first is not None and first.place is not None and first.frames == frames:
        return AS_IT_IS
    count = _numbered(file, start, first, frames=frames, spans=spans)
    silenced, rest = _silence_what_lacks_its_start(file, spans[0], kind)
    return Layout(parts=(count, silenced, rest, *spans[1:]))


def _count_frame(file: BufferedReader, position: int) -> Count | None:
    """Return what the frame at a place counts; None where it is sound."""
    header = read_at(file, position, 4)
    entry = entry_of(header)
    if entry is None or entry[1].layer != 3:
        return None
    frame = read_at(file, position, entry[0])
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        length, frames = struct.unpack(">II", frame[46:54])
        return Count(entry[0], frames, length, None)
    # A checksum may stand before the side information, and some count from behind it.
    for place in {side_end(frame), side_end(frame) + (0 if frame[1] & 1 else 2)}:
        if frame[place : place + 4] in (b"Xing", b"Info") and len(frame) >= place + 16:
            flags = frame[place + 7]
            numbers = struct.unpack(">II", frame[place + 8 : place + 16])
            frames = numbers[0] if flags & 1 else None
            length = numbers[flags & 1] if flags & 2 else None
            looked_at = place == side_end(frame) and flags & 1
            return Count(entry[0], frames, length, place if looked_at else None)
    return None


def _numbered(
    file: BufferedReader, start: int, first: Count | None, *, frames: int, spans: list[Span]
) -> bytes:
    """Return a frame that says how many follow: the file's own, mended, or a new one."""
    sound = sum(span.size for span in spans)
    if first is not None and first.place is not None:
        frame = bytearray(read_at(file, start, first.size))
        place = first.place
        struct.pack_into(">I", frame, place + 8, frames)
        if frame[place + 7] & 2:
            struct.pack_into(">I", frame, place + 12, len(frame) + sound)
        # Samples that the encoder added at the end: of one file, where several were joined.
        flags = frame[place + 7]
        fields = sum(size for bit, size in FIELDS.items() if flags & bit)
        padding = place + 8 + fields + PADDING
        if len(frame) > padding + 1:
            frame[padding] &= 0xF0
            frame[padding + 1] = 0
        return bytes(frame)
    header = bytearray(read_at(file, start, 4))
    header[1] |= 1  # no checksum
    for bits in range(1, 15):
        header[2] = bits << 4 | header[2] & 0x0C
        length = TABLE[header[1] << 8 | header[2]][0]
        if length >= ROOM:
            break
    frame = header.ljust(length, b"\0")
    struct.pack_into(">4sIII", frame, side_end(frame), b"Info", 3, frames, length + sound)
    return bytes(frame)


def _silence_what_lacks_its_start(
    file: BufferedReader, span: Span, kind: Kind
) -> tuple[bytes, Span]:
    """Return frames that need bytes from before the recording, as silence, and the others.

    A frame of layer III begins up to 511 bytes before its header (the bit reservoir); where a
    recorder of streams came later, mpg123 leaves such frames out.
    """
    bits = 9 if kind.divisor == 1 else 8
    position, held, made = span.offset, 0, b""
    while position < span.offset + span.size:
        header = read_at(file, position, 4)
        entry = entry_of(header)
        assert entry is not None
        frame = bytearray(read_at(file, position, entry[0]))
        begin, end = 4 if frame[1] & 1 else 6, side_end(frame) + (0 if frame[1] & 1 else 2)
        needed = int.from_bytes(frame[begin : begin + 2], "big") >> (16 - bits)
        if needed <= held:
            break
        frame[begin:end] = bytes(end - begin)
        frame[begin : begin + 2] = (min(held, (1 << bits) - 1) << (16 - bits)).to_bytes(2, "big")
        held += len(frame) - end
        made += frame
        position += len(frame)
    return made, Span(position, span.offset + span.size - position)
