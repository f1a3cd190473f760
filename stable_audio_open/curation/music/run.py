"""The music gate over a whole catalogue."""

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.curation.catalogue.decisions import (
    add_decisions,
    final_decisions,
    read_decisions,
)
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.music.gate import MusicGate, class_columns
from stable_audio_open.curation.music.stage import STAGE, decide_all, signature
from stable_audio_open.engine.engine import Engine

logger = logging.getLogger(__name__)


def gate_catalogue(
    catalogue: Path,
    audio: Path,
    *,
    tagger: Tagger,
    gate: MusicGate,
    engine: Engine | None = None,
    load: Callable[[], Tagger] | None = None,
) -> Counter[str]:
    """Hear all recordings that have a file and were not dropped, and add the decisions.

    What was decided before with the same tagger and settings is passed over.

    Args:
        catalogue: Gets each decision at once: an interrupted run goes on from there.
        audio: Folder of the recordings.
        tagger: Named in the decisions.
        gate: When it is music.
        engine: What reads and listens; this process when None.
        load: How each worker gets the tagger; where None, the tagger itself goes to them.

    Returns:
        How many there are of `review`, `keep`, `before`, `no file`, `dropped` and `bad`.

    Raises:
        ValueError: The tagger has not one of the classes.
    """
    class_columns(gate.classes, tagger.classes)
    by, decided = signature(tagger, gate), read_decisions(catalogue)
    done = {d.id for d in decided if (d.stage, d.by) == (STAGE, by)}
    dropped = {name for name, d in final_decisions(decided).items() if d.verdict == "drop"}
    counts: Counter[str] = Counter()
    waiting = []
    for record in read_catalogue(catalogue):
        if record.id in dropped:
            counts["dropped"] += 1
        elif record.id in done:
            counts["before"] += 1
        elif record.file is None:
            counts["no file"] += 1
        else:
            waiting.append(record)
    load = load or partial(_itself, tagger)
    for decision in decide_all(waiting, audio, load=load, gate=gate, engine=engine):
        if isinstance(decision, str):
            counts["bad"] += 1
            logger.warning("recording left out: %s", decision)
        else:
            add_decisions(catalogue, [decision])
            counts[decision.verdict] += 1
    return counts


def _itself(tagger: Tagger) -> Tagger:
    return tagger
