"""The command line `stable-audio-open`, and the one place where errors become exit codes.

| code | meaning                                                                                  |
|------|------------------------------------------------------------------------------------------|
| 0    | done                                                                                     |
| 1    | failed: `OSError` (not found, not writable, disk full), `AudioFileError`,                |
|      | `CheckpointError`, `FloatingPointError` (NaN), no memory, and whatever was not foreseen  |
| 2    | wrong use: any other `ValueError` (`ConfigError` included), and options that do not parse |
| 130  | interrupted by Ctrl-C                                                                    |

An error is one line on standard error; `--debug`, anywhere on the line, shows where it was raised.
"""

import logging
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import requires
from typing import Annotated, TextIO

import typer
import typer.main

from stable_audio_open.cli.curate import curate
from stable_audio_open.cli.doctor import doctor
from stable_audio_open.cli.encode import encode
from stable_audio_open.cli.evaluate import evaluate
from stable_audio_open.cli.export import export
from stable_audio_open.cli.info import info
from stable_audio_open.cli.printing import echo, one_line, printable
from stable_audio_open.cli.serve import serve
from stable_audio_open.cli.sounds.edit import extend, inpaint, pair_spans
from stable_audio_open.cli.sounds.generate import generate
from stable_audio_open.cli.sounds.interpolate import interpolate
from stable_audio_open.cli.sounds.reconstruct import reconstruct
from stable_audio_open.cli.sounds.regenerate import regenerate
from stable_audio_open.cli.train import train
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.version import VERSION

PROGRAM = "stable-audio-open"
DEBUG = "--debug"
FAILURE = 1
USAGE = 2
INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.",
)
COMMANDS = (
    *(generate, regenerate, interpolate, inpaint, extend, reconstruct),
    *(serve, info, encode, train, export, doctor),
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(curate, name="curate")
app.add_typer(evaluate, name="evaluate")


def print_version(wanted: bool) -> bool:
    """Print the version and stop, if it is asked for."""
    if wanted:
        echo(VERSION)
        raise typer.Exit
    return wanted


@app.callback()
def overview(
    show_version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version."),
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show tracebacks; may stand anywhere on the line.")
    ] = False,
) -> None:
    """Text to stereo audio at 44.1 kHz: generate, train, convert."""


# Made once for all calls of `main` in a process.
@cache
def _commands() -> Callable[..., int | None]:
    return typer.main.get_command(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Args:
        arguments: What follows the program's name; from the shell when None.
    """
    debug, arguments = _take_debug(sys.argv[1:] if arguments is None else arguments)
    with _log_shown():
        try:
            code = (
                _commands()(
                    args=pair_spans(arguments) or ["--help"],
                    prog_name=PROGRAM,
                    standalone_mode=False,
                )
                or 0
            )
        except KeyboardInterrupt:
            code = INTERRUPTED
        except SystemExit as stop:  # Lightning's answer to Ctrl-C
            if not isinstance(stop.__context__, KeyboardInterrupt):
                raise
            code = INTERRUPTED
        except Exception as error:  # noqa: BLE001, the outermost frame, and --debug hides nothing
            if debug:
                print(printable(traceback.format_exc()), end="", file=sys.stderr)
            _complain(_line(error))
            return _exit_code(error)
    if code == INTERRUPTED:  # also typer's answer to Ctrl-C
        _complain("interrupted")
    return int(code)


class _OneLine(logging.Formatter):
    """Shows names and tags of strangers as they may be shown."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to standard error as it is when a line comes: a progress bar takes its place."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


@contextmanager
def _log_shown() -> Iterator[None]:
    """Show what the library logs, and leave other libraries' logs to them."""
    logger, handler = logging.getLogger("stable_audio_open"), _StandardError()
    handler.setFormatter(_OneLine("%(levelname)s: %(message)s"))
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)  # which `train` lowers


def _take_debug(arguments: Sequence[str]) -> tuple[bool, list[str]]:
    """Take `--debug` off the line, wherever it stands before `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    rest = [argument for argument in arguments[:end] if argument != DEBUG]
    return len(rest) < end, [*rest, *arguments[end:]]


def _exit_code(error: Exception) -> int:
    if isinstance(error, typer.TyperException):
        return error.exit_code
    if isinstance(error, ConfigError):
        return USAGE
    if not isinstance(error, ValueError):
        return FAILURE
    from stable_audio_open.audio.files import AudioFileError
    from stable_audio_open.checkpoint.weights.tensors import CheckpointError

    return FAILURE if isinstance(error, AudioFileError | CheckpointError) else USAGE


def _extra_with(module: str) -> str:
    """Return the extra that brings a module."""
    package = module.split(".")[0].replace("_", "-")
    for requirement in requires(PROGRAM) or ():
        name, _, condition = requirement.partition("; extra == ")
        if condition and re.match(rf"{package}\b(?!-)", name, re.IGNORECASE):
            return condition.strip("\"'")
    return "all"


def _line(error: Exception) -> str:
    """Say in one line what was wrong."""
    match error:
        case typer.TyperException():
            context = getattr(error, "ctx", None)
            command = context.command_path if context else PROGRAM
            return f"{error.format_message().rstrip('.')}; see {command} --help"
        case MemoryError():
            return "out of memory; try fewer sounds at once, a shorter --window or --dtype bfloat16"
        case ModuleNotFoundError(name=str(name)):
            extra = _extra_with(name)
            package = name.partition(".")[0]
            return f'package {package!r} is missing: pip install "stable-audio-open[{extra}]"'
        case OSError(filename=str(name), strerror=str(reason)):
            return f"{name}: {reason}"
        case ValueError() | OSError() | FloatingPointError():
            return str(error)
        case RuntimeError() if "out of memory" in str(error) or "t allocate memory" in str(error):
            return _line(MemoryError())
        case _:
            return f"{type(error).__name__}: {error} (unexpected; {DEBUG} shows where)"


def _complain(message: str) -> None:
    print(f"{PROGRAM}: {one_line(message)}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
