"""Numbers of the service, as Prometheus reads them."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from stable_audio_open.service.events import Done
from stable_audio_open.service.jobs import Job
from stable_audio_open.service.service import Service

BUCKETS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)


class Metrics:
    """Numbers of one service, in a registry of their own.

    Args:
        service: What they are of.
    """

    kind = CONTENT_TYPE_LATEST
    """Content type of the text."""

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry()
        prefix = "stable_audio_open"
        self._jobs = Counter(
            f"{prefix}_jobs",
            "Jobs that have ended, by method and by how.",
            ("method", "state"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            f"{prefix}_job_seconds",
            "Time that a worker took for a job.",
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._sound = Counter(
            f"{prefix}_sound_seconds",
            "Length of all sounds that were made.",
            registry=self._registry,
        )
        self._refused = Counter(
            f"{prefix}_refused",
            "Requests that were not taken, by the status of the answer.",
            ("status",),
            registry=self._registry,
        )
        for name, text, value in (
            ("waiting_jobs", "Jobs that wait.", lambda: service.waiting),
            ("running_jobs", "Jobs that are made at present.", lambda: len(service.running)),
            ("worker_restarts", "Times that a worker had died.", lambda: service.pool.restarts),
        ):
            Gauge(f"{prefix}_{name}", text, registry=self._registry).set_function(value)
        service.on_end.append(self._ended)

    def text(self) -> bytes:
        """Return all numbers as text."""
        return generate_latest(self._registry)

    def refused(self, status: int) -> None:
        """Count a request that was not taken."""
        self._refused.labels(str(status)).inc()

    def _ended(self, job: Job, seconds: float) -> None:
        self._jobs.labels(job.request.method, job.state).inc()
        if seconds:
            self._seconds.observe(seconds)
        if isinstance(job.event, Done):
            self._sound.inc(sum(job.event.seconds))
