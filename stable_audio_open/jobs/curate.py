"""A curation from its configuration: which parts it is made of, and all stages in their order."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stable_audio_open.builders.curation import (
    build_embedder,
    build_tagger,
    paths_of,
    read_source,
)
from stable_audio_open.config.curation import (
    CurationConfig,
    MusicConfig,
    PromptExamplesConfig,
    SearchConfig,
)
from stable_audio_open.curation.catalogue.decisions import (
    add_decisions,
    final_decisions,
    read_decisions,
)
from stable_audio_open.curation.catalogue.ingest import REJECTS, ingest
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.duplicates.chromaprint import command
from stable_audio_open.curation.duplicates.stage import decide_duplicates
from stable_audio_open.curation.known_works.search import search_catalogue
from stable_audio_open.curation.licences.attributions import CHANGES, write_attributions
from stable_audio_open.curation.licences.policy import licence_decisions, refusal
from stable_audio_open.curation.music.stage import gate_catalogue
from stable_audio_open.curation.review.page import write_page
from stable_audio_open.curation.review.report import write_report
from stable_audio_open.curation.review.table import is_filled, open_cases, read_answers, write_table
from stable_audio_open.curation.scan import scan_catalogue
from stable_audio_open.curation.training_set.chunks import ChunkSettings
from stable_audio_open.curation.training_set.current import inputs_hash, keep_current, read_summary
from stable_audio_open.curation.training_set.epoch_prompt import prompt_of_epoch
from stable_audio_open.curation.training_set.select import select
from stable_audio_open.curation.training_set.write import build_training_set
from stable_audio_open.engine.engine import Engine
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.prompts import is_described
from stable_audio_open.settings import ScanSettings

SET, REVIEW, PROMPTS, REPORT = "set", "review", "prompts.txt", "report.html"


class Done(NamedTuple):
    """A stage that has been run."""

    stage: str
    counts: str
    """What came of it, in words."""


def run_curation(config: CurationConfig, *, engine: Engine | None = None) -> Iterator[Done]:
    """Run all stages over one folder, and yield each as soon as it is done.

    Sources are read anew each time. What the other stages decided before with the same settings is
    not decided again, and the set is written anew only when something in it has changed.

    Args:
        config: `output` gets records and rejects, decisions, `review/`, `prompts.txt`, `set/` with
            its attributions, and `report.html`.
        engine: What works on the recordings; this process when None.

    Raises:
        ValueError: A part is missing (before anything is written), nothing can be used, or nothing
            stands; in this last case the report is written all the same.
        OSError: A source or the output.
    """
    run = _Run(config, engine)
    yield Done("ingest", run.ingest())
    if config.scan is not None:
        yield Done("audio", run.scan(config.scan))
    if not config.set.allow_unlicensed:
        yield Done("licences", run.licences())
    if config.music is not None:
        yield Done("music", run.music(config.music))
    if config.search is not None:
        yield Done("search", run.search(config.search))
    if config.duplicates is not None:
        yield Done("duplicates", run.duplicates())
    if config.answers:
        yield Done("answers", run.answers())
    yield Done("review", run.review())
    if config.prompts is not None:
        yield Done("prompts", run.prompts(config.prompts))
    try:
        yield Done("set", run.set())
    except ValueError:
        run.report({})
        raise
    yield Done("attributions", run.attributions())
    yield Done("report", run.report(read_summary(run.folder / SET)["unusable"]))


class _Run:
    """The stages with what they share: folders, and the parts that are loaded first."""

    def __init__(self, config: CurationConfig, engine: Engine | None) -> None:
        self.config, self.engine = config, engine
        self.folder, self.audio = Path(config.output), Path(config.audio)
        for needed in (self.audio, *paths_of(config)):
            if not needed.exists():
                raise FileNotFoundError(2, "no such file or folder", str(needed))
        copies = config.duplicates
        if copies is not None and copies.chromaprint:
            command()
        self.tagger = build_tagger(config.music) if config.music else None
        self.embedder = build_embedder(copies.near) if copies and copies.near else None

    def ingest(self) -> str:
        rows = (
            row
            for source in self.config.sources
            for row in read_source(source, self.audio, self.engine)
        )
        counts = ingest(rows, self.folder, replace=True)
        if not counts.records:
            raise ValueError(f"{self.folder}: no row could be used; see {self.folder / REJECTS}")
        return f"{counts.records} records, {counts.with_file} with a file; {counts.rejects} rejects"

    def scan(self, settings: ScanSettings) -> str:
        counts = scan_catalogue(self.folder, self.audio, settings, engine=self.engine)
        return (
            f"{counts['keep']} sound, {counts['before']} known to be, {counts['drop']} dropped, "
            f"{counts['no file']} without a file"
        )

    def licences(self) -> str:
        taken = read_decisions(self.folder)
        by = "curate licences"
        add_decisions(self.folder, licence_decisions(read_catalogue(self.folder), taken, by=by))
        refused = [refusal(record) is not None for record in read_catalogue(self.folder)]
        return f"{len(refused) - sum(refused)} accepted, {sum(refused)} dropped"

    def music(self, config: MusicConfig) -> str:
        assert self.tagger is not None
        counts = gate_catalogue(
            self.folder, self.audio, tagger=self.tagger, gate=config, engine=self.engine
        )
        return (
            f"{counts['review']} to review, {counts['keep']} below the threshold, "
            f"{counts['before']} decided before, {counts['bad']} unusable"
        )

    def search(self, config: SearchConfig) -> str:
        found = search_catalogue(self.folder, Path(config.list), threshold=config.threshold)
        return f"{found.to_review} to review, {found.before} found before"

    def duplicates(self) -> str:
        assert self.config.duplicates is not None
        near = self.config.duplicates.near
        found = decide_duplicates(
            self.folder,
            self.audio,
            embedder=self.embedder,
            threshold=near.threshold if near else None,
            chromaprint=self.config.duplicates.chromaprint,
            engine=self.engine,
        )
        return (
            f"{found.recordings} recordings: {found.exact} exact copies dropped, "
            f"{found.near} near copies to review, {found.unusable} unreadable"
        )

    def answers(self) -> str:
        added = known = 0
        for answer in self.config.answers:
            names = (record.id for record in read_catalogue(self.folder))
            taken = read_decisions(self.folder)
            found = read_answers(Path(answer.table), names, taken, by=answer.by)
            add_decisions(self.folder, found.decisions)
            added, known = added + len(found.decisions), known + found.known
        return f"{added} taken over, {known} known before"

    def review(self) -> str:
        cases = open_cases(read_catalogue(self.folder), read_decisions(self.folder))
        target = self.folder / REVIEW
        table = target / "review.csv"
        if table.exists() and is_filled(table):
            return f"{len(cases)} wait; {table} is filled in and stays: name it in `answers`"
        target.mkdir(exist_ok=True)
        write_page(target / "review.html", cases, audio=self.audio)
        write_table(table, cases)
        return f"{len(cases)} wait for a person in {target}"

    def prompts(self, config: PromptExamplesConfig) -> str:
        stands = self._selected()
        described = [record for record in stands if is_described(record, config.drawn)]
        rng = random.Random(config.seed)
        chosen = rng.sample(described, min(config.show, len(described)))
        lines = [
            f"{r.id}\t{prompt_of_epoch(r, epoch=0, seed=config.seed, settings=config.drawn)}\n"
            for r in chosen
        ]
        replace_bytes(self.folder / PROMPTS, "".join(lines).encode())
        return f"{len(lines)} examples in {self.folder / PROMPTS}"

    def set(self) -> str:
        wanted = self.config.set
        inputs = inputs_hash(self._selected(), self.audio, (wanted, str(self.audio)))
        chunks = ChunkSettings(seconds=wanted.chunk_seconds, most=wanted.chunks_per_recording)
        target = self.folder / SET
        anew = keep_current(
            target,
            inputs,
            lambda folder: build_training_set(
                self.folder,
                self.audio,
                folder,
                form=wanted.form,
                seed=wanted.seed,
                allow_unlicensed=wanted.allow_unlicensed,
                per_shard=wanted.recordings_per_shard,
                chunks=wanted.chunks,
                chunk_settings=chunks,
                engine=self.engine,
            ),
        )
        summary = read_summary(target)
        return (
            f"{summary['recordings']} recordings, {summary['hours']:.2f} h in {target}"
            f"{'' if anew else ', as before'}"
        )

    def attributions(self) -> str:
        target = self.folder / SET
        changes = self.config.changes or CHANGES
        count = write_attributions(lambda: read_catalogue(target), target, changes=changes)
        authors = {record.author for record in read_catalogue(target)} - {None}
        return f"{count} recordings by {len(authors)} authors"

    def report(self, unusable: dict[str, str]) -> str:
        path = self.folder / REPORT
        write_report(path, self.config.name, self.folder, unusable=unusable)
        return str(path)

    def _selected(self) -> list[CatalogueRecord]:
        holds = final_decisions(read_decisions(self.folder))
        return select(read_catalogue(self.folder), holds).records
