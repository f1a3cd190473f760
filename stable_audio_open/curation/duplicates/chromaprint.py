"""Near-exact copies by Chromaprint: other encodings, levels and starts of the same recording.

The fingerprints are made by the optional command `fpcalc` (Debian's libchromaprint-tools).
"""

import json
import logging
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import UInt32

from stable_audio_open.files.error_paths import errors_named
from stable_audio_open.files.json_lines import NOT_JSON
from stable_audio_open.similarity.pairs import Pairs

COMMAND = "fpcalc"
FINGERPRINTS = "chromaprint.jsonl"
SECONDS = 120
"""Seconds of a recording, from its start; Chromaprint's own default."""
LEAST = 16
"""Values of a fingerprint (about 0.12 s each) below which nothing can be said."""
SHIFT = 24
"""Values that copies may be shifted by: about 3 s."""
SHARED = 4
"""Values that two recordings must have in common to be compared."""
COMMON = 100
"""A value that more recordings have, such as silence's, is no evidence."""
AGREEMENT = 0.9
"""Share of equal bits from which on recordings count as copies; by chance it is 0.5."""

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    Fingerprint = npt.NDArray[np.uint32]
else:
    Fingerprint = UInt32[np.ndarray, "_"]


class StoredFingerprint(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the list of known fingerprints."""

    hash: str
    """Hash of the audio."""
    values: list[int]
    """32 bits each; none where the recording is too short."""


class Alignment(NamedTuple):
    """How two fingerprints lie together."""

    agreement: float
    """Share of equal bits, within 0..1."""
    shift: int
    """Values by which the second starts later."""


def command() -> str:
    """Return the path of `fpcalc`.

    Raises:
        ValueError: When it is not installed.
    """
    found = shutil.which(COMMAND)
    if found is None:
        raise ValueError(
            f"the command {COMMAND} is not there; install it (Debian: libchromaprint-tools), or "
            "search without Chromaprint"
        )
    return found


def fingerprint(path: Path) -> Fingerprint:
    """Return the fingerprint of a recording's first two minutes; empty below about 3 s.

    Raises:
        ValueError: When `fpcalc` is missing or refuses the file.
    """
    arguments = [command(), "-raw", "-json", "-length", str(SECONDS), str(path.resolve())]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if "Empty fingerprint" in run.stderr:
        return np.zeros(0, dtype=np.uint32)
    try:
        return np.array(json.loads(run.stdout)["fingerprint"], dtype=np.uint32)
    except (ValueError, KeyError) as error:
        reason = " ".join(run.stderr.split()) or f"status {run.returncode}"
        raise ValueError(f"{path}: {COMMAND} made no fingerprint ({reason})") from error


def fingerprint_files(
    files: Sequence[str], hashes: Mapping[str, str], audio: Path, folder: Path
) -> list[Fingerprint]:
    """Return the fingerprints of files in order; what was made is kept in a list in `folder`.

    A file that `fpcalc` refuses has an empty one, and a warning.

    Raises:
        ValueError: When `fpcalc` is missing and a fingerprint is.
    """
    path = folder / FINGERPRINTS
    known = dict(_read(path))
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as list_:
        if list_.tell():
            list_.write(b"\n")  # after a line that was cut off
        for file in files:
            if hashes[file] in known:
                continue
            command()
            try:
                known[hashes[file]] = fingerprint(audio / file)
            except ValueError as error:
                logger.warning("not compared by Chromaprint: %s", error)
                known[hashes[file]] = np.zeros(0, dtype=np.uint32)
                continue
            values = known[hashes[file]].tolist()
            line = StoredFingerprint(hash=hashes[file], values=values)
            with errors_named(path):
                list_.write(msgspec.json.encode(line) + b"\n")
                list_.flush()
    return [known[hashes[file]] for file in files]


def align(one: Fingerprint, other: Fingerprint, *, shift: int = SHIFT) -> Alignment:
    """Return the best alignment, over at least half of the shorter and `LEAST` values."""
    least = max(LEAST, min(len(one), len(other)) // 2)
    best = Alignment(0.0, 0)
    for late in sorted(range(-shift, shift + 1), key=abs):
        first, second = one[max(0, late) :], other[max(0, -late) :]
        overlap = min(len(first), len(second))
        if overlap < least:
            continue
        different = np.unpackbits((first[:overlap] ^ second[:overlap]).view(np.uint8)).mean()
        if 1 - different > best.agreement:
            best = Alignment(float(1 - different), late)
    return best


def agreeing_pairs(
    fingerprints: Sequence[Fingerprint], *, agreement: float = AGREEMENT
) -> Iterable[Pairs]:
    """Return the pairs of recordings that agree, among those that share some values exactly."""
    found = []
    for first, second in _sharing(fingerprints):
        alike = align(fingerprints[first], fingerprints[second]).agreement
        if alike >= agreement:
            found.append((first, second, alike))
    return [
        Pairs(
            torch.tensor([first for first, _, _ in found], dtype=torch.int64),
            torch.tensor([second for _, second, _ in found], dtype=torch.int64),
            torch.tensor([alike for _, _, alike in found], dtype=torch.float32),
        )
    ]


def _sharing(fingerprints: Sequence[Fingerprint]) -> list[tuple[int, int]]:
    """Return the pairs that have at least `SHARED` values in common, in order."""
    distinct = [np.unique(values) for values in fingerprints]
    values = np.concatenate([*distinct, np.zeros(0, dtype=np.uint32)])
    owners = np.repeat(np.arange(len(distinct)), [len(own) for own in distinct])
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    edges = [0, *(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    counts: Counter[tuple[int, int]] = Counter()
    for start, end in pairwise(edges):
        if 2 <= end - start <= COMMON:
            counts.update(combinations(owners[start:end].tolist(), 2))
    return sorted(pair for pair, count in counts.items() if count >= SHARED)


def _read(path: Path) -> Iterable[tuple[str, Fingerprint]]:
    decoder = msgspec.json.Decoder(StoredFingerprint)
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        try:
            found = decoder.decode(line)
        except NOT_JSON:
            continue
        yield found.hash, np.array(found.values, dtype=np.uint32)
