"""What becomes of a job, told event by event."""

from typing import TypeAlias

import msgspec

from stable_audio_open.service.problems import Problem


class Event(msgspec.Struct, frozen=True, kw_only=True, tag=str.lower, tag_field="event"):
    """What all events have: their name, in the field `event`."""


class Waiting(Event, frozen=True, kw_only=True):
    """The job waits."""

    place: int
    """Its place in the queue; the next one is at 1."""


class Running(Event, frozen=True, kw_only=True):
    """A worker has begun with the job."""

    together: int = 1
    """Jobs that are made at once, this one among them."""


class Step(Event, frozen=True, kw_only=True):
    """A step of sampling is done."""

    number: int
    """Steps that are done."""
    steps: int
    """Steps that there are."""


class Preview(Event, frozen=True, kw_only=True):
    """What the sound would be from this step on can be fetched."""

    number: int
    """Steps that are done."""


class Piece(Event, frozen=True, kw_only=True):
    """More of a sound that is streamed is there."""

    samples: int
    """Samples of a channel that are there in all."""


class Done(Event, frozen=True, kw_only=True):
    """The sounds are there."""

    seeds: tuple[int, ...]
    """Seed of each; none where nothing was drawn."""
    seconds: tuple[float, ...]
    """Length of each."""


class Failed(Event, frozen=True, kw_only=True):
    """There will be no sounds."""

    problem: Problem


class Cancelled(Event, frozen=True, kw_only=True):
    """There will be no sounds, since somebody said so."""

    reason: str


AnyEvent: TypeAlias = Waiting | Running | Step | Preview | Piece | Done | Failed | Cancelled
LAST = (Done, Failed, Cancelled)
"""Events after which none comes."""
