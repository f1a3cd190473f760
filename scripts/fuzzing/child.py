"""A case in a child of its own: forked from a process that has imported everything, and limited."""

import contextlib
import faulthandler
import json
import os
import resource
import select
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

from fuzzing.guard import Guard
from stable_audio_open.cli.main import DEBUG, _line

Answer = Literal["refused", "read"]
Sort = Literal[
    "traceback", "nameless", "signal", "silent", "refused", "limit", "outside", "started"
]
UNTOUCHED = 0.03
"""Share of the cases that are as they were written, and must be read."""
SHOWN = 400
"""Characters of a message that are told."""


class Fault(NamedTuple):
    """What went wrong with a case."""

    sort: Sort
    told: str


class Outcome(NamedTuple):
    """How a case ended."""

    answer: Answer | None
    """None where there was none, as when the child was ended."""
    fault: Fault | None


class SilentLoadError(Exception):
    """What was read is wrong, and nothing said so."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a child may use."""

    memory: int = 1 << 30
    """Bytes of address space beyond the parent's."""
    processor: int = 10
    """Seconds of computing."""
    wall: float = 60.0
    """Seconds by the clock; a machine may be busy with other things."""
    file: int = 64 << 20
    """Bytes of a file that it writes."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A mutated input, and what is done with it."""

    words: str
    """The mutation."""
    target: Callable[[Path], None]
    """Reads what lies in the folder, and raises SilentLoadError where that is not right."""
    answer: Answer | None = None
    """The right one, where it is known."""


def run_case(case: Case, folder: Path, limits: Limits) -> Outcome:
    """Run a case in a child, which may write to its folder alone."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # Python 3.12 warns of other threads, which a child lacks: reading takes none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(case, folder, limits, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        status = _wait(child, limits.wall)
        content = b"" if status is None else pipe.read()
    if status is None:
        told = f"ran for {limits.wall:g} s by the clock, and was stopped"
        return Outcome(None, Fault("limit", told))
    if os.WIFSIGNALED(status):
        return Outcome(None, _signalled(os.WTERMSIG(status), limits))
    if not content:
        told = f"ended by itself with code {os.waitstatus_to_exitcode(status)}"
        return Outcome(None, Fault("signal", told))
    answer, fault = json.loads(content)
    return Outcome(answer, Fault(*fault) if fault else None)


def _wait(child: int, seconds: float) -> int | None:
    """Return the status of a child that ends in time; None for one that had to be killed."""
    handle = os.pidfd_open(child)
    try:
        ended, _, _ = select.select([handle], [], [], seconds)
    finally:
        os.close(handle)
        # What it started goes with it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return status if ended else None


def _signalled(number: int, limits: Limits) -> Fault:
    if number == signal.SIGXCPU:
        return Fault("limit", f"computed for {limits.processor} s, and was stopped")
    return Fault("signal", f"was ended by {signal.Signals(number).name}")


def _be_the_child(case: Case, folder: Path, limits: Limits, pipe: int) -> NoReturn:
    try:
        os.setpgid(0, 0)
        _be_silent()
        _limit(limits)
        guard = Guard(folder)
        os.chdir(folder)
        sys.addaudithook(guard)
        outcome = _outcome(case, folder)
        if guard.found is not None:
            outcome = outcome._replace(fault=Fault(*guard.found))
        os.write(pipe, json.dumps(outcome).encode())
    finally:
        os._exit(0)


def _be_silent() -> None:
    faulthandler.disable()
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    sys.dont_write_bytecode = True


def _limit(limits: Limits) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    memory = pages * os.sysconf("SC_PAGE_SIZE") + limits.memory
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, limits.processor),
        (resource.RLIMIT_FSIZE, limits.file),
        (resource.RLIMIT_CORE, 0),
    ):
        # Past the soft limit of computing comes SIGXCPU, past the hard one SIGKILL.
        hard = most + 1 if kind == resource.RLIMIT_CPU else most
        resource.setrlimit(kind, (most, hard))


def _outcome(case: Case, folder: Path) -> Outcome:
    try:
        case.target(folder)
    except SilentLoadError as error:
        return Outcome("read", Fault("silent", str(error)))
    except BaseException as error:  # noqa: BLE001, whatever it is, it is told
        fault = judge(error, folder)
        if fault is None and case.answer == "read":
            fault = Fault("refused", str(error)[:SHOWN])
        return Outcome("refused", fault)
    wrong = case.answer == "refused"
    return Outcome("read", Fault("silent", "was read, and must be refused") if wrong else None)


def judge(error: BaseException, folder: Path) -> Fault | None:
    """Return what is wrong with an error as an answer to a file in a folder; None where nothing is.

    A right one is of the kinds that commands show as a line, is a line, and names the file.
    """
    told = f"{type(error).__name__}: {error}"[:SHOWN]
    for cause in _causes(error):
        if isinstance(cause, MemoryError) or "t allocate memory" in str(cause):
            return Fault("limit", f"took too much memory; {told}")
        if isinstance(cause, OSError) and "File too large" in str(cause):
            return Fault("limit", f"wrote too large a file; {told}")
    line = _line(error) if isinstance(error, Exception) else told
    if not isinstance(error, ValueError | OSError | FloatingPointError) or DEBUG in line:
        return Fault("traceback", f"{told} ({_place(error)})")
    if "\n" in line.strip():
        return Fault("traceback", f"several lines, {line[:SHOWN]!r} ({_place(error)})")
    if str(folder) not in line:
        return Fault("nameless", f"{told} ({_place(error)})")
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _place(error: BaseException) -> str:
    """Say where an error was raised: the innermost line of the package, or of all."""
    places, trace = [], error.__traceback__
    while trace is not None:
        places.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    own = [place for place in places if "stable_audio_open" in place[0]] or places
    return f"{own[-1][0].rpartition('stable_audio_open/')[2]}:{own[-1][1]}" if own else "nowhere"
