"""The service: what HTTP and pages ask for sounds, in one object."""

import logging
import tempfile
import time
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TypeAlias

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.writing.formats import Subtype
from stable_audio_open.files.lock import scratch_folder
from stable_audio_open.service.allowance import Allowance
from stable_audio_open.service.events import Cancelled
from stable_audio_open.service.jobs import Job, Numbered
from stable_audio_open.service.kept import Kept, link
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.models import ModelFacts, ServedModels
from stable_audio_open.service.problems import EndingError, NotThereError
from stable_audio_open.service.queue import JobQueue
from stable_audio_open.service.requests import (
    SoundRequest,
    check_sound_request,
    chosen_model,
)
from stable_audio_open.service.results import Format, encoded, preview_of, read_result
from stable_audio_open.service.sounds import SentSound
from stable_audio_open.service.streams import streamed
from stable_audio_open.service.work.pool import WorkerPool, process_of
from stable_audio_open.service.work.processes import StartWorker

logger = logging.getLogger(__name__)

BY_CLIENT = "cancelled by who asked for it"
BY_END = "the service has ended"
SWEEP = 30.0
"""Seconds between two looks at what has expired."""

OnEnd: TypeAlias = Callable[[Job, float], None]
"""Takes a job that has ended, and the seconds that it took a worker."""


class Service:
    """Makes sounds for many clients: a queue, workers that may die, and files that expire.

    Any thread may call any method. Clients are told apart by the names that they are given, and see
    nothing of each other.

    Args:
        models: What is served.
        devices: One for each worker; None is a GPU if there is one, else the CPU.
        limits: How much may be asked for.
        together: Sounds of one shape that are made at once, at most; 1 makes each request alone.
        folder: Where files are kept, in a folder of their own that goes with the service, or with
            the next one here where it was killed; where temporary files are when None.
        clock: Tells the time in seconds, for what expires.
        start_worker: Starts a worker; in a process of its own when None.
    """

    def __init__(
        self,
        models: ServedModels | None = None,
        *,
        devices: Sequence[str | None] = (None,),
        limits: Limits | None = None,
        together: int = 1,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        start_worker: Callable[[ServedModels, str | None], StartWorker] | None = None,
    ) -> None:
        self.limits = limits or Limits()
        self.served = models or ServedModels()
        self.on_end: list[OnEnd] = []
        """Called with each job that has ended."""
        self._clock = clock
        self._allowance = Allowance(self.limits.client_seconds, clock=clock)
        self._queue = JobQueue(self.limits, workers=len(devices), clock=clock)
        self.pool = WorkerPool(
            self.served,
            devices,
            self._queue,
            limits=self.limits,
            together=together,
            ended=self._ended,
            start_worker=start_worker or process_of,
        )
        opened = ExitStack()
        # It goes with the process too, where that is interrupted before `close`; and where it is
        # killed, with the next that starts here.
        self._forget = weakref.finalize(self, opened.close)
        place = Path(tempfile.gettempdir()) if folder is None else folder
        own = opened.enter_context(scratch_folder(place, "stable-audio-open", mode=0o700))
        self.page_folder = own / "page"
        """Where a page may keep copies of its sounds; it goes with the service."""
        self._kept = Kept(own, self.limits, clock)
        self._swept = clock()

    def start(self) -> None:
        """Start the workers, and wait until their models are loaded.

        Raises:
            ValueError: A model cannot be loaded.
            WorkerDiedError: A worker has died on the way.
        """
        try:
            self.pool.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "Service":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def models(self) -> tuple[ModelFacts, ...]:
        """Return what one needs to know of each model; the first is meant where none is named."""
        return self.pool.facts()

    def adapters(self) -> tuple[str, ...]:
        """Return the names of the adapters."""
        return tuple(one.name for one in self.served.adapters)

    def submit(self, request: SoundRequest, *, client: str) -> Job:
        """Check a request, and put it into the queue.

        Raises:
            InvalidError: Something of it is wrong, not there, or more than may be asked for.
            BusyError: Too many jobs wait, or the client's time is up.
            EndingError: The service takes nothing more.
        """
        self._refuse_when_ending()
        self.sweep()
        self._allowance.check(client)
        facts = self._facts_of(request)
        sounds = {
            name: self._kept.path_of(id, client=client, name=name)
            for name, id in request.sounds.items()
        }
        check_sound_request(request, facts=facts, sounds=sounds, limits=self.limits)
        job = Job(request, client=client, folder=self._kept.jobs_folder)
        job.folder.mkdir()
        try:
            for name, path in sounds.items():
                link(path, job.folder / name)
            self._kept.add_job(job)
            self._queue.put(job)
        except BaseException:
            self._kept.forget_job(job)
            raise
        return job

    def job(self, id: str, *, client: str) -> Job:
        """Return a client's job.

        Raises:
            UnknownError: There is none of this id, it has expired, or it is another client's.
        """
        return self._kept.job(id, client=client)

    def jobs(self, *, client: str) -> list[Job]:
        """Return a client's jobs that are kept, the oldest first."""
        return self._kept.jobs(client=client)

    def cancel(self, id: str, *, client: str) -> Job:
        """Cancel a job: one that waits at once, one that is made after its present step.

        One that has ended stays as it is.

        Raises:
            UnknownError: As of `job`.
        """
        job = self.job(id, client=client)
        self._cancel(job, BY_CLIENT)
        return job

    def events(self, id: str, *, client: str, after: int = 0) -> AsyncIterator[Numbered]:
        """Return what happens to a job until it has ended, from what has happened so far.

        Args:
            id: Of the job.
            client: Whose it is.
            after: Number of an event; those up to it are left out.

        Raises:
            UnknownError: As of `job`.
        """
        return self.job(id, client=client).events(after)

    def result(
        self,
        id: str,
        *,
        client: str,
        item: int = 0,
        format: Format = "wav",
        subtype: Subtype = "pcm24",
    ) -> Path:
        """Return a file of a sound, which is encoded where it is asked for the first time.

        Args:
            id: Of the job.
            client: Whose it is.
            item: Which of its sounds.
            format: `wav`, `flac`, `ogg` or `mp3`.
            subtype: Samples of WAV and FLAC files, as `Audio.save` takes them.

        Raises:
            InvalidError: There is no such item or format, or the format cannot hold the sound.
            NotThereError: The job is not done.
            UnknownError: As of `job`.
        """
        return encoded(
            self._kept.done(id, client=client).folder, item=item, format=format, subtype=subtype
        )

    def audio(self, id: str, *, client: str) -> Audio:
        """Return all sounds of a job as they were made; the errors are those of `result`."""
        return read_result(self._kept.done(id, client=client).folder)

    def preview(self, id: str, *, client: str) -> Path:
        """Return a WAV file of what the sound would be as of the newest preview.

        Raises:
            NotThereError: There is none yet.
            UnknownError: As of `job`.
        """
        return preview_of(self.job(id, client=client).folder)

    def stream(self, id: str, *, client: str) -> AsyncIterator[bytes]:
        """Return a WAV file of float samples as they are decoded.

        Before the first bytes come, it raises `NotThereError` where the job has failed or was
        cancelled; afterwards the file ends early.

        Raises:
            NotThereError: The job is not one that was asked for as a stream.
            UnknownError: As of `job`.
        """
        job = self.job(id, client=client)
        if not job.request.stream:
            raise NotThereError("the job was asked for as a whole; ask for it with stream")
        return streamed(job, self._facts_of(job.request))

    def add_sound(self, content: bytes, *, client: str) -> SentSound:
        """Take a sound that a client sends, to be worked on.

        Raises:
            TooLargeError: It has too many bytes.
            InvalidError: It is empty, cut off, or no sound.
            BusyError: Too many are kept for the client.
        """
        self._refuse_when_ending()
        self.sweep()
        return self._kept.take_sound(content, client=client)

    def forget_sound(self, id: str, *, client: str) -> None:
        """Remove a sound that a client has sent; jobs that are made with it go on.

        Raises:
            UnknownError: There is none of this id, it has expired, or it is another client's.
        """
        self._kept.forget_sound(self._kept.sound(id, client=client))

    def sweep(self) -> None:
        """Remove what has expired, if it is time to look."""
        if self._clock() - self._swept >= SWEEP:
            self._swept = self._clock()
            self._kept.sweep()

    @property
    def waiting(self) -> int:
        """Jobs that wait."""
        return len(self._queue)

    @property
    def running(self) -> list[Job]:
        """Jobs that are made at present."""
        return self.pool.current

    @property
    def ready(self) -> bool:
        """A worker is there, and jobs are taken."""
        return not self._queue.closed and self.pool.ready

    def drain(self) -> None:
        """Take nothing more and cancel what waits; what is being made goes on."""
        for job in self._queue.close():
            job.tell(Cancelled(reason=BY_END))
            self._ended(job, 0.0)

    def end_running(self, grace: float) -> None:
        """Cancel what is being made, as soon as it has had its time.

        Args:
            grace: Seconds of it.
        """
        end = time.monotonic() + grace
        for job in self.running:
            job.wait(max(0.0, end - time.monotonic()))
            self._cancel(job, BY_END)

    def close(self) -> None:
        """End at once: cancel all jobs, end the workers, and remove all files."""
        self.drain()
        self.end_running(0.0)
        self.pool.close()
        self._forget()

    def _refuse_when_ending(self) -> None:
        if self._queue.closed:
            raise EndingError("the service is ending and takes nothing more; try again later")

    def _facts_of(self, request: SoundRequest) -> ModelFacts:
        return chosen_model(request, self.models(), self.adapters())

    def _cancel(self, job: Job, reason: str) -> None:
        waited = self._queue.remove(job)
        counts = job.tell(Cancelled(reason=reason))
        if waited:
            self._ended(job, 0.0)
        elif counts:  # said once: a worker listens between steps alone
            self.pool.stop(job)

    def _ended(self, job: Job, seconds: float) -> None:
        self._kept.end_job(job)
        if seconds:
            self._queue.took(seconds)
            self._allowance.took(job.client, seconds)
        for tell in self.on_end:
            tell(job, seconds)
        self.sweep()
