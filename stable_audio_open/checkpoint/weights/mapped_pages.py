"""Memory of files that are mapped: pages that were read count as the process's until they go."""

import bisect
import ctypes
import mmap
import sys
from pathlib import Path

from torch import Tensor

from stable_audio_open.checkpoint.weights.tensors import TENSOR_SUFFIXES

MAPS = Path("/proc/self/maps")


class MappedPages:
    """Where this process has mapped files of weights to.

    To be asked while the tensors are held that lie there.

    Linux alone says where that is; elsewhere, `release` does nothing, and the system takes the
    pages when it needs them.
    """

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []
        if MAPS.is_file():
            # begin-end permissions offset device inode path
            lines = (line.split(maxsplit=5) for line in MAPS.read_text().splitlines())
            self._ranges = sorted(
                _range(line[0])
                for line in lines
                if len(line) == 6 and line[5].endswith(TENSOR_SUFFIXES)
            )

    def release(self, tensor: Tensor) -> None:
        """Give back the pages behind a tensor, where it lies in a mapped file.

        The numbers stay, and are read from the file again where they are asked for. Of a tensor
        that was changed, the changes would be lost.
        """
        begin = tensor.data_ptr()
        end = begin + tensor.numel() * tensor.element_size()
        at = bisect.bisect_right(self._ranges, (begin, sys.maxsize)) - 1
        if at < 0 or end > self._ranges[at][1]:
            return
        # Whole pages alone: the first and the last may hold numbers of a neighbour.
        begin = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
        length = end // mmap.PAGESIZE * mmap.PAGESIZE - begin
        if length > 0:
            madvise = ctypes.CDLL(None).madvise
            madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            madvise(begin, length, mmap.MADV_DONTNEED)


def _range(text: str) -> tuple[int, int]:
    begin, end = text.split("-")
    return int(begin, 16), int(end, 16)
