"""What the service holds on disk for its clients, until it expires."""

import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from stable_audio_open.service.jobs import Job
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.problems import (
    BusyError,
    InvalidError,
    NotThereError,
    TooLargeError,
    UnknownError,
)
from stable_audio_open.service.results import encoded
from stable_audio_open.service.sounds import SentSound, write_sound

Mine = TypeVar("Mine", Job, SentSound)


class Kept:
    """Jobs and sounds that were sent, each for its client alone; any thread may call any method.

    Args:
        folder: Where their files are.
        limits: How much is kept, and for how long.
        clock: Tells the time in seconds.
    """

    def __init__(self, folder: Path, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self.jobs_folder, self.sounds_folder = folder / "jobs", folder / "sounds"
        for one in (self.jobs_folder, self.sounds_folder):
            one.mkdir(parents=True, exist_ok=True)
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._ended: OrderedDict[str, float] = OrderedDict()
        self._sounds: OrderedDict[str, SentSound] = OrderedDict()
        self._lock = threading.RLock()

    def add_job(self, job: Job) -> None:
        """Keep a job that has its folder."""
        with self._lock:
            self._jobs[job.id] = job

    def job(self, id: str, *, client: str) -> Job:
        """Return a client's job.

        Raises:
            UnknownError: There is none of this id, or not of this client.
        """
        with self._lock:
            return _own(self._jobs.get(id), client, "job")

    def jobs(self, *, client: str) -> list[Job]:
        """Return a client's jobs, the oldest first."""
        with self._lock:
            return [job for job in self._jobs.values() if job.client == client]

    def end_job(self, job: Job) -> None:
        """Let a job that has ended expire from now on; without sounds it has no files."""
        if job.state != "done":
            shutil.rmtree(job.folder, ignore_errors=True)
        with self._lock:
            if job.id in self._jobs and job.id not in self._ended:
                self._ended[job.id] = self._clock()

    def forget_job(self, job: Job) -> None:
        """Remove a job and its files."""
        shutil.rmtree(job.folder, ignore_errors=True)
        with self._lock:
            self._jobs.pop(job.id, None)
            self._ended.pop(job.id, None)

    def done(self, id: str, *, client: str) -> Job:
        """Return a client's job that is done.

        Raises:
            NotThereError: It is not.
            UnknownError: As of `job`.
        """
        job = self.job(id, client=client)
        if job.state != "done":
            raise NotThereError(f"the job is {job.state}, and has no sound")
        return job

    def take_sound(self, content: bytes, *, client: str) -> SentSound:
        """Write and keep a sound that a client has sent.

        Raises:
            TooLargeError: It has too many bytes.
            InvalidError: It is empty, cut off, or no sound.
            BusyError: Too many are kept for the client.
        """
        if len(content) > self._limits.sound_bytes:
            raise TooLargeError(
                f"the sound has {len(content)} bytes, at most {self._limits.sound_bytes} are taken"
            )
        with self._lock:
            own = [sound.since for sound in self._sounds.values() if sound.client == client]
            if len(own) >= self._limits.sounds_of_client:
                wait = min(own) + self._limits.kept_seconds - self._clock()
                raise BusyError(
                    f"{len(own)} of your sounds are kept, and that is as many as may; remove one, "
                    "or wait until it expires",
                    retry_after=max(1, round(wait)),
                )
            sound = write_sound(
                content, client=client, folder=self.sounds_folder, now=self._clock()
            )
            self._sounds[sound.id] = sound
        return sound

    def sound(self, id: str, *, client: str) -> SentSound:
        """Return a client's sound.

        Raises:
            UnknownError: There is none of this id, or not of this client.
        """
        with self._lock:
            return _own(self._sounds.get(id), client, "sound")

    def path_of(self, id: str, *, client: str, name: str) -> Path:
        """Return the file of an argument that is a sound: one that was sent, or that of a job.

        Args:
            id: Of a sound; or of a job that is done, whose first sound is meant unless `/ITEM`
                stands behind it.
            client: Whose it is.
            name: Name of the argument.

        Raises:
            InvalidError: There is none.
        """
        try:
            return self.sound(id, client=client).path
        except UnknownError:
            job, _, item = id.partition("/")
        try:
            if item and not (item.isascii() and item.isdecimal() and len(item) < 5):
                raise InvalidError(f"the item of a job must be a number, got {item!r:.60}")
            folder = self.done(job, client=client).folder
            return encoded(folder, item=int(item or 0), subtype="float")
        except UnknownError as error:
            detail = f"{name}: there is no sound or job of this id, or it has expired"
            raise InvalidError(detail, field=name) from error
        except (InvalidError, NotThereError) as error:
            raise InvalidError(f"{name}: {error}", field=name) from error

    def forget_sound(self, sound: SentSound) -> None:
        """Remove a sound and its file."""
        with self._lock:
            self._sounds.pop(sound.id, None)
        sound.path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what has expired, and the oldest of what takes too much room."""
        now, limits = self._clock(), self._limits
        with self._lock:
            jobs = [(since, self._jobs[id]) for id, since in self._ended.items()]
            sounds = list(self._sounds.values())
        over = len(jobs) - limits.kept
        bytes_over = -limits.kept_bytes
        sizes = {job.id: _size(job.folder) for _, job in jobs}
        bytes_over += sum(sizes.values()) + sum(_size(sound.path) for sound in sounds)
        for place, (since, job) in enumerate(jobs):
            if now - since >= limits.kept_seconds or place < over or bytes_over > 0:
                bytes_over -= sizes[job.id]
                self.forget_job(job)
        for sound in sounds:
            if now - sound.since >= limits.kept_seconds or bytes_over > 0:
                bytes_over -= _size(sound.path)
                self.forget_sound(sound)


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all in a folder; 0 of what was removed in the meantime."""
    try:
        files = [path] if path.is_file() else list(path.glob("*"))
        return sum(file.stat().st_size for file in files)
    except FileNotFoundError:
        return 0


def link(path: Path, place: Path) -> None:
    """Give a file a second name, or copy it where that cannot be."""
    try:
        os.link(path, place)
    except OSError:
        shutil.copyfile(path, place)


def _own(found: Mine | None, client: str, what: str) -> Mine:
    """Return what is there and a client's own; nobody learns what is there of others."""
    if found is None or found.client != client:
        raise UnknownError(f"there is no {what} of this id, or it has expired", field="id")
    return found
