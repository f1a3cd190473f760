"""Sounds by a table: each row is made once, whatever stops the run or other rows."""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from msgspec import to_builtins
from msgspec.structs import asdict, replace

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import audio_info
from stable_audio_open.audio.writing.formats import FORMATS
from stable_audio_open.audio.writing.places import check_folder, make_folder
from stable_audio_open.data.processes import JoinedProcesses, joined_processes
from stable_audio_open.diffusion.samplers import MAX_SEED
from stable_audio_open.files.error_paths import OF_WRITING
from stable_audio_open.files.hashes import file_hash
from stable_audio_open.files.lock import locked_folder
from stable_audio_open.jobs.loading import SystemRequest
from stable_audio_open.jobs.sounds.check import check_before_loading
from stable_audio_open.jobs.sounds.columns import (
    NAME,
    SoundSettings,
    check_columns,
    settings_of,
    with_defaults,
)
from stable_audio_open.jobs.sounds.results import (
    Result,
    append_result,
    done_rows,
    gather_results,
    part_of,
    read_results,
    settings_hash,
)
from stable_audio_open.jobs.sounds.table import Row, read_table
from stable_audio_open.jobs.target import Target, place_of
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.recorded.hashes import weights_of
from stable_audio_open.recorded.making import from_json
from stable_audio_open.recorded.recorded import sound_arguments, used_adapters

logger = logging.getLogger(__name__)

PATTERN = "{index:05d}_{prompt}_{seed}"
"""Names of files unless something else is asked for."""
FAULTS = (ValueError, TypeError, OSError, ArithmeticError, MemoryError, RuntimeError)
"""What a row may raise without stopping the others."""

Tell = Callable[[str], None]
"""Takes what was made, line by line."""


class SoundsRequest(SystemRequest, frozen=True, kw_only=True):
    """Sounds by a table."""

    table: Path
    """A .csv or .jsonl file with a row for each sound."""
    output: Path
    """Folder of the files."""
    defaults: Mapping[str, Any] = {}
    """Values of columns for the rows that leave them open."""
    tags: bool = True
    """Write into each file how it was made."""
    overwrite: bool = False
    """Replace files of the same name that belong to no row that is done."""
    variant: str | None = None
    """Variant of the weights, as `load` takes it."""
    revision: str | None = None
    """Branch, tag or commit on the hub, as `load` takes it."""

    def loading(self, processes: JoinedProcesses) -> dict[str, Any]:
        """Return the arguments of `load` but the model, in one of several processes.

        Raises:
            ValueError: There are more processes than GPUs.
        """
        own = {"variant": self.variant, "revision": self.revision}
        return {**super().loading(processes), **own}


class Counts(NamedTuple):
    """What became of the rows of a table."""

    made: int
    """Rows that were made now."""
    kept: int
    """Rows that were there."""
    failed: int
    """Rows that could not be made."""


class Job(NamedTuple):
    """A row with its settings, or with the reason why it has none."""

    row: Row
    values: Mapping[str, Any]
    """All values, with those of the request; files of sounds by their hash."""
    settings: SoundSettings | None
    fault: str = ""
    sounds: tuple[Path, ...] = ()
    """Files that it is made with."""


def _silent(line: str) -> None:
    del line


def run_sounds(request: SoundsRequest, *, tell: Tell = _silent) -> Counts | None:
    """Make the sounds of a table, where the folder lacks them.

    A row that fails is told by a warning and a line of `results.jsonl`, and tried again by the next
    run. Processes of torchrun share the rows.

    Args:
        request: Model, table, folder.
        tell: Takes a line for each file that was made.

    Returns:
        What became of the rows, in the first process alone.

    Raises:
        FolderInUseError: Another run works in the folder.
        OSError: The table cannot be read, the folder cannot be written, or the disk is full.
        ValueError: The table has an unknown column or no row, `results.jsonl` cannot be read, or
            the model cannot be loaded.
    """
    check_columns(tuple(request.defaults), "defaults")
    rows = read_table(request.table)
    if request.output.suffix.lower() in FORMATS and not request.output.is_dir():
        raise ValueError(
            f"{request.output}: is the name of one file, and a table has its sounds in a folder; "
            f"give a name without {request.output.suffix}"
        )
    check_folder(request.output)
    with joined_processes() as processes, ExitStack() as held:
        jobs = [_job(row, request, processes) for row in rows]
        processes.in_first(lambda: _take(request.output, held))
        model = None
        if not all(job.fault for job in jobs):
            model = StableAudio.from_pretrained(request.model, **request.loading(processes))
        hashes = [_hash(job, model) for job in jobs]
        done = done_rows(hashes, read_results(request.output), request.output)
        processes.wait()  # until all have read what they add to from here on
        wanted = [job for job in jobs if job.row.index not in done]
        kept = {place_of(request.output / name) for line in done.values() for name in line.files}
        kept |= {place_of(path) for job in jobs for path in job.sounds}
        for job in wanted[processes.rank :: processes.total]:
            digest = hashes[job.row.index]
            result = _result(job, digest, model=model, request=request, kept=kept)
            append_result(part_of(request.output, processes.rank), result)
            _tell(result, request, tell)
        processes.wait()
        if processes.rank != 0:
            return None
        lines = [row.line for row in rows]
        gather_results(request.output, list(zip(hashes, lines, strict=True)))
        there = done_rows(hashes, read_results(request.output), request.output)
        return Counts(len(there) - len(done), len(done), len(rows) - len(there))


def _take(output: Path, held: ExitStack) -> None:
    """Make the folder, and keep other runs out of it."""
    make_folder(output)
    held.enter_context(locked_folder(output, remedy="wait for it, or give another --output"))


def _job(row: Row, request: SoundsRequest, processes: JoinedProcesses) -> Job:
    """Fill in what a row leaves open, and check what can be checked without the model."""
    values = {NAME: PATTERN, **with_defaults(row.values, request.defaults)}
    seed = request.defaults.get("seed")
    if isinstance(seed, int) and "seed" not in row.values:
        values["seed"] = (seed + row.index) % (MAX_SEED + 1)
    if row.fault:
        return Job(row, values, None, row.fault)
    hashed, sounds = dict(values), []
    try:
        for name in sound_arguments(StableAudio.generate) & row.values.keys():
            if not isinstance(values[name], str):
                raise TypeError(f"{name} must be the path of a sound, got {values[name]!r:.60}")
            values[name] = str(request.table.parent / values[name])
        for name in sound_arguments(StableAudio.generate) & values.keys():
            audio_info(values[name])
            sounds.append(Path(values[name]))
            hashed[name] = file_hash(sounds[-1])
        settings = settings_of(values)
        arguments = _arguments(settings)
        prompts = _prompts(arguments.pop("prompt"), settings.variations)
        check_before_loading(arguments, prompts, settings.finishing)
        # Elsewhere a number is appended, by one process at a time.
        shared = processes.total > 1 and request.overwrite
        if shared and not settings.pattern.begins_with_index:
            raise ValueError(
                f"name {settings.pattern.pattern!r}: several processes replace files of one "
                "folder; begin it with {index} and a character that is no digit, such as "
                "{index}_{prompt}"
            )
    except FAULTS as error:
        return Job(row, values, None, _line(error))
    return Job(row, hashed, settings, sounds=tuple(sounds))


def _hash(job: Job, model: StableAudio | None) -> str:
    if job.settings is None or model is None:
        return ""
    made_by: dict[str, Any] = {
        "weights": weights_of(model),
        "dtype": model.precision,
        "device": model.device.type,
        "attention": None if model.source is None else model.source.attention,
    }
    if adapters := used_adapters(model, model.adapter_set.uses):
        made_by["adapters"] = to_builtins([replace(one, folder="") for one in adapters])
    return settings_hash(job.values, made_by)


def _result(
    job: Job, digest: str, *, model: StableAudio | None, request: SoundsRequest, kept: set[Path]
) -> Result:
    """Make a row's sounds and save them, or say why not.

    Args:
        job: The row.
        digest: Hash of its settings.
        model: None where no row can be made.
        request: What all rows share.
        kept: Files of rows that are done, which are not replaced; this row's are added.
    """
    said = job.values.get("prompt", "")
    prompt = said if isinstance(said, str) else json.dumps(said)
    failed = Result(
        row=job.row.index, line=job.row.line, status="failed", settings=digest, prompt=prompt
    )
    if job.settings is None or model is None:
        return replace(failed, error=job.fault)
    try:
        audio, files = _make(job.row, job.settings, model=model, request=request, kept=kept)
    except FAULTS as error:
        if _of_disk(error):
            raise
        return replace(failed, error=_line(error))
    return replace(
        failed,
        status="done",
        files=tuple(path.name for path in files),
        seeds=audio.seeds,
        seconds=tuple(round(seconds, 3) for seconds in audio.durations),
    )


def _make(
    row: Row,
    settings: SoundSettings,
    *,
    model: StableAudio,
    request: SoundsRequest,
    kept: set[Path],
) -> tuple[Audio, list[Path]]:
    arguments = _arguments(settings)
    prompts = _prompts(arguments.pop("prompt"), settings.variations)
    audio = model.generate(prompts, **arguments, progress=False)
    audio = audio.finish(**asdict(settings.finishing))
    names = [
        settings.pattern.name(
            index=row.index, prompt=str(item.tags[0]["prompt"]), seed=item.seeds[0]
        )
        for item in audio
    ]
    target = Target(request.output, True, settings.subtype, request.overwrite, kept)
    return audio, target.save(audio, names, tags=request.tags)


def _arguments(settings: SoundSettings) -> dict[str, Any]:
    return {name: from_json(value) for name, value in settings.generate.items()}


def _prompts(prompt: Any, variations: int) -> Any:
    return [prompt] * variations if variations > 1 else prompt


def _tell(result: Result, request: SoundsRequest, tell: Tell) -> None:
    if result.status == "failed":
        logger.warning("%s:%d: %s", request.table, result.line, result.error)
    for name, seed, seconds in zip(result.files, result.seeds, result.seconds, strict=True):
        tell(f'{request.output / name}: {seconds:.2f} s, seed {seed}, "{result.prompt}"')


def _line(error: Exception) -> str:
    """Return an error as a line of UTF-8, whatever the names of files in it are."""
    line = " ".join(str(error).split()) or type(error).__name__
    return line.encode(errors="backslashreplace").decode()


def _of_disk(error: BaseException | None) -> bool:
    """Return whether a full disk is behind an error, on which every other row would fail."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in OF_WRITING:
            return True
        error = error.__cause__
    return False
