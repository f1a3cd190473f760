"""Every recording decoded once, from start to end: what cannot be trained on is dropped by name."""

import math
import unicodedata
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from stable_audio_open.audio.files import AudioFileError, audio_blocks, audio_info
from stable_audio_open.curation.catalogue.decisions import (
    Decision,
    add_decisions,
    now,
    read_decisions,
)
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.engine.engine import Engine, Serial, Stage
from stable_audio_open.settings import ScanSettings

STAGE = "audio"
LINE_BREAKING = ("Cc", "Zl", "Zp")
"""Unicode's control characters, and separators of lines and paragraphs."""


def signature(settings: ScanSettings) -> str:
    """Return what a decision says of its maker; another setting is another maker."""
    return (
        f"scan of the audio, at most {settings.most_channels} channels, silent at "
        f"{settings.silence_db:g} dB"
    )


def scan_recording(
    record: CatalogueRecord, audio: Path, settings: ScanSettings | None = None
) -> Decision:
    """Return `keep` with the peak, or `drop` for a recording that cannot be trained on.

    Dropped are files that are missing, damaged or hold NaN, those of too many channels, silence,
    and paths with control characters, which lists and tables cannot hold. The file is read in
    blocks, so that its length costs no memory.

    Args:
        record: A record with a file.
        audio: Folder of the recordings.
        settings: Limits.

    Raises:
        ValueError: The record has no file.
    """
    if record.file is None:
        raise ValueError(f"{record.id}: has no file")
    settings = settings or ScanSettings()
    path = audio / record.file
    try:
        fault, heard = _fault(path, record.file, settings)
    except AudioFileError as error:
        fault, heard = str(error).removeprefix(f"{path}: "), ""
    return Decision(
        id=record.id,
        verdict="drop" if fault else "keep",
        stage=STAGE,
        reason=fault or heard,
        by=signature(settings),
        at=now(),
    )


def scan_catalogue(
    catalogue: Path,
    audio: Path,
    settings: ScanSettings | None = None,
    *,
    engine: Engine | None = None,
) -> Counter[str]:
    """Scan all recordings that have a file, and add the decisions to the catalogue.

    Recordings that were kept before with the same settings are passed over. Those that were dropped
    are looked at again, for they may have been repaired, and what was said already is not repeated.

    Args:
        catalogue: Gets each decision at once: an interrupted run goes on from there.
        audio: Folder of the recordings.
        settings: Limits.
        engine: What decodes; this process when None.

    Returns:
        How many there are of `keep`, `drop`, `before` and `no file`.
    """
    settings = settings or ScanSettings()
    by = signature(settings)
    said = {d.id: d for d in read_decisions(catalogue) if d.stage == STAGE}
    counts: Counter[str] = Counter()
    waiting = []
    for record in read_catalogue(catalogue):
        before = said.get(record.id)
        if record.file is None:
            counts["no file"] += 1
        elif before is not None and (before.by, before.verdict) == (by, "keep"):
            counts["before"] += 1
        else:
            waiting.append(record)
    stage = Stage("scan", partial(_scanner, audio, settings))
    for decision in (engine or Serial()).map(stage, waiting):
        counts[decision.verdict] += 1
        before = said.get(decision.id)
        if before is None or (before.by, before.reason) != (by, decision.reason):
            add_decisions(catalogue, [decision])
    return counts


def _scanner(audio: Path, settings: ScanSettings) -> Callable[[CatalogueRecord], Decision]:
    return partial(scan_recording, audio=audio, settings=settings)


def _fault(path: Path, name: str, settings: ScanSettings) -> tuple[str, str]:
    """Say what is wrong with a file, empty when nothing is, and its level and length."""
    if any(unicodedata.category(letter) in LINE_BREAKING for letter in name):
        return f"the path holds control characters ({name!r}); rename the file", ""
    channels = audio_info(path).channels
    if channels > settings.most_channels:
        return f"{channels} channels, more than {settings.most_channels}; mix it down first", ""
    peak, frames, rate = 0.0, 0, 1
    for block in audio_blocks(path):
        peak = max(peak, float(block.samples.abs().max()))
        frames, rate = frames + block.samples.shape[-1], block.sample_rate
    level = 20 * math.log10(peak) if peak else -math.inf
    heard = f"peak {level:.1f} dB, {frames / rate:.1f} s"
    if level <= settings.silence_db:
        return f"silent: {heard}", heard
    return "", heard
