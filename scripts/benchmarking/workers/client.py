"""This process's end of the pipes to a side."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any

SCRIPTS = Path(__file__).parents[2]
PATIENCE = 3600.0
"""Seconds that an answer may take where nothing else is said."""


class SideError(OSError):
    """A side's process ended, failed or gave no answer.

    Args:
        message: One line.
        ended: Whether the process can be asked for nothing more.
    """

    def __init__(self, message: str, *, ended: bool = True) -> None:
        super().__init__(message)
        self.ended = ended


class Worker:
    """A side's process.

    Args:
        side: As in `serve.SIDES`.
        python: Its interpreter.
        folder: Its working folder.
        own_paths: Let it import what this process can.
        command: Instead of the server, for tests.
    """

    def __init__(
        self,
        side: str,
        python: str,
        *,
        folder: Path,
        own_paths: bool = False,
        command: Sequence[str] | None = None,
    ) -> None:
        self.side = side
        paths = [str(SCRIPTS), *(path for path in sys.path if path and own_paths)]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(paths),
            # All files are here, and the same for everybody.
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "TRANSFORMERS_VERBOSITY": "error",
            "WANDB_MODE": "disabled",
        }
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, lives as long as the process
        try:
            self._process = subprocess.Popen(
                command or [python, "-m", "benchmarking.workers.serve", side],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                cwd=folder,
                env=environment,
                text=True,
            )
        except OSError as error:
            self._said.close()
            raise SideError(
                f"{side}: {python} cannot be run ({error.strerror}); give the Python interpreter "
                f"that has it, --peer {side}:PYTHON"
            ) from error
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def ask(self, do: str, *, patience: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """Send a request and return its answer.

        Raises:
            SideError: The process has ended, the side raised an error, or nothing came in time.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **fields}) + "\n")
            self._process.stdin.flush()
            line = self._answers.get(timeout=patience)
        except OSError:  # a pipe whose other end is closed
            line = None
        except queue.Empty:
            self._process.kill()
            raise SideError(
                f"{self.side}: no answer to {do!r} within {patience:.0f} s; its process was ended"
            ) from None
        if line is None:
            raise SideError(self._ended(do))
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise SideError(f"{self.side}: {do!r} failed with {answer['error']}", ended=False)
        return answer

    def end(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._said):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:  # it ended with a request unread
                continue

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def _read(self) -> None:
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                self._answers.put(line)
        except ValueError:  # closed by `end`
            return
        self._answers.put(None)

    def _ended(self, do: str) -> str:
        code = self._process.wait()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        told = lines[-1].strip() if lines else "nothing on standard error"
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        memory = "; perhaps memory was short" if code == -9 else ""
        return f"{self.side}: its process ended with {reason} at {do!r}{memory}: {told}"
