"""How much one may ask for."""

from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much one may ask for, of a request, of the queue and of the disk.

    Raises:
        ValueError: A limit is not above 0.
    """

    seconds: Seconds = 240.0
    """Length of all sounds of a request together, those that it works on included."""
    steps: Count = 500
    """Sampling steps, repeated ones included."""
    items: Count = 4
    """Sounds of a request."""
    texts: Count = 16
    """Texts of all prompts of a request, each of which costs as much as a sound."""
    parts: Count = 64
    """Entries of any list: spans, points of a guidance scale, items."""
    waiting: Count = 100
    """Jobs that wait."""
    waiting_of_client: Count = 10
    """Jobs of one client that wait."""
    job_seconds: Seconds = 600.0
    """Time that a job may take."""
    stop_seconds: Seconds = 30.0
    """Time that a worker may take to stop a job, before it is ended itself."""
    end_seconds: Seconds = 60.0
    """Time that running jobs may go on once the service is to end."""
    client_seconds: Seconds | None = None
    """Time that the jobs of one client may take in an hour; None for no limit."""
    kept_seconds: Seconds = 3600.0
    """Time that results and sounds that were sent are kept."""
    kept: Count = 1000
    """Jobs whose results are kept; the oldest make room."""
    kept_bytes: Count = 4 << 30
    """Bytes of results and sounds that are kept; the oldest make room."""
    sound_bytes: Count = 64 << 20
    """Bytes of a sound that is sent."""
    sounds_of_client: Count = 20
    """Sounds that are kept for one client."""
    body_bytes: Count = 256 << 10
    """Bytes of any other request."""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
