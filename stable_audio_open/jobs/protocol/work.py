"""Files to make in one folder of a protocol, and how."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stable_audio_open.audio.audio import Audio
from stable_audio_open.data.processes import JoinedProcesses
from stable_audio_open.evaluation.generations.folder import SUFFIX, make_missing
from stable_audio_open.evaluation.generations.sets import (
    SetFile,
    Settings,
    open_set,
    write_set_files,
)
from stable_audio_open.evaluation.generations.sources import follow_sources


@dataclass(frozen=True, kw_only=True)
class Work:
    """Files to make in one folder."""

    folder: Path
    files: Sequence[SetFile]
    """Files to make where they are missing."""
    make: Callable[[Sequence[SetFile]], Audio]
    """Files, at most `batch` of them, to as many sounds."""
    batch: int = 1
    """Files at once."""
    settings: Callable[[], Settings] | None = None
    """How they are made, which another run must agree with; None where sources say it all."""
    table: Sequence[SetFile] = ()
    """Files of the whole table, of which the manifest lists those that are there."""
    sources: Mapping[str, Path] = field(default_factory=dict)
    """Recording of each clip where files are made of recordings: of another one they go."""
    how: str = ""
    """What is made of the recordings, in words."""

    def open(self, processes: JoinedProcesses) -> None:
        """Let the first process prepare the folder before any writes there.

        Raises:
            ValueError: It holds files of another model or other settings.
        """
        if processes.rank == 0 and self.settings is not None:
            open_set(self.folder, self.settings())
        processes.wait()

    def do(self, processes: JoinedProcesses) -> list[SetFile]:
        """Make what is missing, and return what is there of the table in the first process.

        Raises:
            AudioFileError: A recording cannot be read.
            FloatingPointError: The model gave NaN.
            ValueError: The record of sources cannot be read.
        """
        if processes.rank == 0 and self.sources:
            self.folder.mkdir(parents=True, exist_ok=True)
            follow_sources(self.folder, self.files, self.sources, how=self.how)
        processes.wait()
        make_missing(
            self.folder,
            self.files,
            self.make,
            batch=self.batch,
            rank=processes.rank,
            processes=processes.total,
        )
        processes.wait()
        if processes.rank != 0 or self.settings is None:
            return []
        return write_set_files(self.folder, self.table)


def clip_files(clips: Sequence[str], suffix: str = SUFFIX) -> list[SetFile]:
    """Return what to make of recordings: one file for each, named by it."""
    return [SetFile(id=clip, file=f"{clip}{suffix}", clip=clip) for clip in clips]
