"""Which licences a training set may hold: CC0, CC-BY and CC Sampling+ (section 3.1)."""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from stable_audio_open.curation.catalogue.decisions import Decision, now
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.licences.creative_commons import Licence, from_title, from_url

STAGE = "licence"
ACCEPTED = ("CC0", "CC-BY", "CC Sampling+")
STATED = ("debian",)
"""Catalogues whose statement that a recording is in the public domain counts: Debian's archive
takes none without the reason."""
NAMED_IN_ERRORS = 3
"""Recordings that an error names before it only counts."""

TERMS = {
    "NC": "forbids commercial use (NC)",
    "SA": "demands the same licence for what is made of it (SA)",
    "ND": "forbids adaptations (ND)",
}
OTHERS = {
    "CC NC-Sampling+": "forbids commercial use (NC)",
    "CC Sampling": "forbids copies of the whole",
    "Public Domain Mark": "is somebody's remark, not a licence of the author",
    "public domain": "is a statement without a licence",
}


@lru_cache(maxsize=65536)
def normalise(text: str | None) -> Licence:
    """Return the licence that a catalogue's words mean.

    Args:
        text: URL or title. Scheme, `www.`, slashes, `legalcode`, `deed`, language and `%2B` make
            no difference.

    Returns:
        A Creative Commons licence with its canonical URL, or one named `unknown` or `missing`.
        `normalise(licence.url or "")` and `normalise(licence.label)` give a known licence again.
    """
    if text is None or not text.strip():
        return Licence(name="missing")
    return from_url(text) or from_title(text) or Licence(name="unknown")


def licence_refusal(text: str | None) -> str | None:
    """Say why a licence cannot be accepted; None when it can.

    Args:
        text: The licence as the catalogue gives it.
    """
    licence = normalise(text)
    if licence.name in ACCEPTED:
        return None
    if licence.name == "missing":
        return "no licence is given"
    if licence.name == "unknown":
        return f"the licence {text!r} is not known; accepted are {', '.join(ACCEPTED)}"
    terms = [reason for element, reason in TERMS.items() if element in licence.name.split("-")]
    return f"{licence.label} {OTHERS.get(licence.name) or ' and '.join(terms)}"


def refusal(record: CatalogueRecord) -> str | None:
    """Say why a recording cannot be in a training set by its licence or author; None if it can."""
    stated = record.catalogue in STATED and normalise(record.licence).name == "public domain"
    reason = None if stated else licence_refusal(record.licence)
    if reason is not None:
        return reason
    if record.author is None or not record.author.strip():
        return "no author is given who could be named"
    return None


def licence_decisions(
    records: Iterable[CatalogueRecord], taken: Iterable[Decision] = (), *, by: str
) -> Iterator[Decision]:
    """Yield a `drop` for every refused recording.

    Args:
        records: A catalogue.
        taken: Earlier decisions; what this stage has said already is not said again.
        by: Program that decides.
    """
    said = {decision.id: decision.reason for decision in taken if decision.stage == STAGE}
    time = now()
    for record in records:
        reason = refusal(record)
        if reason is not None and said.get(record.id) != reason:
            yield Decision(id=record.id, verdict="drop", stage=STAGE, reason=reason, by=by, at=time)


def require_licences(records: Iterable[CatalogueRecord], *, allow_unlicensed: bool = False) -> None:
    """Refuse a training set whose recordings lack an accepted licence or an author.

    Args:
        records: What is to be trained on; read once.
        allow_unlicensed: Refuse nothing.

    Raises:
        ValueError: naming the first few and their number.
    """
    if allow_unlicensed:
        return
    named: list[str] = []
    count = 0
    for record in records:
        if reason := refusal(record):
            count += 1
            if count <= NAMED_IN_ERRORS:
                named.append(f"{record.id}: {reason}")
    if count:
        more = f"; and {count - len(named)} more" if count > len(named) else ""
        raise ValueError(
            f"{count} recordings have no accepted licence or no author ({'; '.join(named)}{more}); "
            "drop them with `stable-audio-open curate licences`, or pass --allow-unlicensed"
        )
