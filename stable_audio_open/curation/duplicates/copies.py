"""Which recordings are copies, which one of each group stays, and what is decided about the others.

The paper selects replicas "based on a manually set threshold" in LAION-CLAP space (section 5.3).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from stable_audio_open.curation.catalogue.decisions import Decision, Verdict, now
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.similarity.pairs import Pairs, Search, groups, similar_pairs

STAGE = "duplicates"


def representative(records: Iterable[CatalogueRecord]) -> CatalogueRecord:
    """Return the longest, then that of the highest rate, the most channels, the lowest identifier.

    What is unknown counts as 0.
    """
    return min(
        records,
        key=lambda r: (-(r.duration or 0), -(r.sample_rate or 0), -(r.channels or 0), r.id),
    )


def exact_copies(
    records: Sequence[CatalogueRecord], hashes: Mapping[str, str], *, by: str
) -> tuple[list[CatalogueRecord], list[Decision]]:
    """Group records by the hash of their audio.

    Args:
        records: Those without a hash are passed over.
        hashes: Hash of the audio by file.
        by: Who decides.

    Returns:
        One record of each group, in order, and a `drop` for each of the others.
    """
    members: dict[str, list[CatalogueRecord]] = {}
    for record in records:
        if record.file is not None and record.file in hashes:
            members.setdefault(hashes[record.file], []).append(record)
    kept, decisions = [], []
    for same in members.values():
        stays = representative(same)
        kept.append(stays)
        reason = f"exact copy of {stays.id}"
        decisions += [_decide(r, "drop", reason, by) for r in same if r is not stays]
    return kept, decisions


def near_copies(
    records: Sequence[CatalogueRecord],
    embeddings: Float[Tensor, "records width"],
    *,
    threshold: float,
    by: str,
    search: Search = similar_pairs,
) -> list[Decision]:
    """Group records by the cosine of their embeddings, directly or through others.

    Args:
        records: One of each group of exact copies.
        embeddings: Theirs.
        threshold: Least cosine of copies.
        by: Who decides.
        search: Finds the pairs, all of them.

    Returns:
        A `review` for each record of a group but the one that stays.

    Raises:
        ValueError: When the threshold is out of range.
    """
    return decide_groups(
        records,
        search(embeddings, threshold),
        lambda one, other: cosine(embeddings[one], embeddings[other]),
        least=threshold,
        word="similarity",
        by=by,
    )


def decide_groups(
    records: Sequence[CatalogueRecord],
    pairs: Iterable[Pairs],
    alike: Callable[[int, int], float],
    *,
    least: float,
    word: str,
    by: str,
) -> list[Decision]:
    """Return a `review` for each record that pairs connect to others, but the one that stays.

    Args:
        records: All.
        pairs: Pairs of indices.
        alike: Measures any two of them, for the reason.
        least: That connects two directly.
        word: What is measured.
        by: Who decides.
    """
    decisions = []
    for group in groups(len(records), pairs):
        stays = representative(records[index] for index in group)
        place = next(index for index in group if records[index] is stays)
        for index in group:
            if index == place:
                continue
            value = alike(index, place)
            # A little room: blocks of a matrix product round in another order.
            through = ", through others" if value < least - 1e-6 else ""
            reason = f"near copy of {stays.id} ({word} {value:.4f}{through})"
            decisions.append(_decide(records[index], "review", reason, by))
    return decisions


def cosine(one: Float[Tensor, "width"], other: Float[Tensor, "width"]) -> float:
    """Return the similarity of two embeddings, within -1..1."""
    return float(torch.clamp(functional.cosine_similarity(one, other, dim=0), -1, 1))


def new_decisions(decided: Iterable[Decision], decisions: Iterable[Decision]) -> list[Decision]:
    """Return the decisions that have not been taken before in the same words."""
    known = {(d.id, d.verdict, d.stage, d.reason) for d in decided}
    return [d for d in decisions if (d.id, d.verdict, d.stage, d.reason) not in known]


def _decide(record: CatalogueRecord, verdict: Verdict, reason: str, by: str) -> Decision:
    return Decision(id=record.id, verdict=verdict, stage=STAGE, reason=reason, by=by, at=now())
