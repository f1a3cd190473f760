"""What a worker does: it loads models, and makes what it is told to until it is told to end."""

import logging
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.sampling import Step as SamplingStep
from stable_audio_open.sampling import StoppedError
from stable_audio_open.service.events import AnyEvent, Done, Failed, Piece, Preview, Running, Step
from stable_audio_open.service.models import ServedModels
from stable_audio_open.service.problems import ServiceError
from stable_audio_open.service.requests import invalid
from stable_audio_open.service.results import PIECES, write_preview, write_result
from stable_audio_open.service.work.loaded import LoadedModels
from stable_audio_open.service.work.making import make_sounds
from stable_audio_open.service.work.messages import (
    End,
    Idle,
    Make,
    Order,
    Ready,
    Refused,
    Stop,
    Told,
    ToService,
    ToWorker,
)

logger = logging.getLogger(__name__)


def work(
    connection: Connection,
    served: ServedModels,
    device: str | None,
    *,
    load: Callable[[ServedModels, str | None], LoadedModels] = LoadedModels,
) -> None:
    """Load models, and make what comes, until the service ends this worker or is gone.

    Args:
        connection: To the service.
        served: What is loaded.
        device: Where to.
        load: Loads them.
    """
    if served.threads is not None:
        torch.set_num_threads(served.threads)
    try:
        models = load(served, device)
    except (ValueError, TypeError, OSError) as error:
        connection.send(Refused(str(error)))
        return
    connection.send(Ready(models.facts()))
    while True:
        message: ToWorker = connection.recv()
        match message:
            case Make(orders):
                _Run(connection, orders).make(models)
                connection.send(Idle())
            case Stop():
                continue  # what has ended in the meantime
            case End():
                return


class _Run:
    """Jobs that are made together."""

    def __init__(self, connection: Connection, orders: Sequence[Order]) -> None:
        self._connection = connection
        self._orders = orders
        self._stopped: set[str] = set()
        self._samples = 0

    def make(self, models: LoadedModels) -> None:
        for order in self._orders:
            self._tell(order, Running(together=len(self._orders)))
        try:
            made = make_sounds(
                models, self._orders, callback=self._after_step, on_piece=self._after_piece
            )
            for order, audio in zip(self._orders, made, strict=True):
                write_result(audio, order.folder)
                self._tell(order, Done(seeds=audio.seeds, seconds=tuple(audio.durations)))
        except StoppedError:
            return
        except Exception as error:  # noqa: BLE001, one job's fault must not end the worker
            _forget_memory()
            if len(self._orders) > 1:  # whichever is at fault, the others are not
                for order in self._orders:
                    self._alone(order).make(models)
                return
            (order,) = self._orders
            self._tell(order, Failed(problem=failure(error, order).problem))

    def _alone(self, order: Order) -> "_Run":
        run = _Run(self._connection, (order,))
        run._stopped = self._stopped
        return run

    def _after_step(self, step: SamplingStep) -> bool:
        self._hear()
        if all(order.job in self._stopped for order in self._orders):
            return False
        number = step.number + 1
        for order in self._orders:
            self._tell(order, Step(number=number, steps=step.steps))
        every = self._orders[0].request.preview_every
        if every and number % every == 0 and number < step.steps:
            (order,) = self._orders
            write_preview(step.preview()[0], order.folder)
            self._tell(order, Preview(number=number))
        return True

    def _after_piece(self, piece: Audio) -> None:
        self._hear()
        (order,) = self._orders
        if order.job in self._stopped:
            raise StoppedError("nobody waits for the rest")
        with (order.folder / PIECES).open("ab") as file:
            file.write(piece.samples[0].T.contiguous().numpy().tobytes())
        self._samples += piece.samples.shape[-1]
        self._tell(order, Piece(samples=self._samples))

    def _hear(self) -> None:
        """Note the jobs that nobody waits for any more."""
        while self._connection.poll():
            message: ToWorker = self._connection.recv()
            if isinstance(message, Stop):
                self._stopped.add(message.job)

    def _tell(self, order: Order, event: AnyEvent) -> None:
        message: ToService = Told(order.job, event)
        self._connection.send(message)


def failure(error: Exception, order: Order) -> ServiceError:
    """Return what is told to those whose job has failed: their own mistakes, and little of ours."""
    if isinstance(error, ValueError | TypeError):
        return invalid(str(error), order.request, order.sounds)
    logger.error("a job has failed", exc_info=error)
    message = str(error)
    if isinstance(error, MemoryError) or "out of memory" in message or "t allocate" in message:
        return ServiceError("out of memory; ask for fewer sounds at once, or a shorter window")
    if isinstance(error, FloatingPointError):
        return ServiceError(message)
    return ServiceError(
        f"the sound could not be made ({type(error).__name__}); whoever runs the service finds the "
        "reason in its log"
    )


def _forget_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
