"""Clients take turns, and nobody takes all the room."""

from pathlib import Path

import pytest

from stable_audio_open.service.events import Waiting
from stable_audio_open.service.jobs import Job
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.problems import BusyError, EndingError
from stable_audio_open.service.queue import PATIENCE, JobQueue
from stable_audio_open.service.requests import SoundRequest


def job(client: str) -> Job:
    return Job(SoundRequest(method="generate"), client=client, folder=Path())


def queue_of(*clients: str, limits: Limits | None = None) -> tuple[JobQueue, list[Job]]:
    queue, jobs = JobQueue(limits or Limits()), [job(client) for client in clients]
    for one in jobs:
        queue.put(one)
    return queue, jobs


def places(jobs: list[Job]) -> list[int]:
    found = []
    for one in jobs:
        assert isinstance(one.event, Waiting)
        found.append(one.event.place)
    return found


def test_clients_take_turns_and_each_keeps_its_order() -> None:
    queue, jobs = queue_of("a", "a", "a", "b", "c", "b")
    taken = [queue.take(0) for _ in jobs]
    assert [jobs.index(one) for one in taken if one] == [0, 3, 4, 1, 5, 2]
    assert queue.take(0) is None


def test_who_comes_back_waits_for_all_others() -> None:
    queue, _ = queue_of("a", "b", "c")
    assert [queue.take(0).client] == ["a"]  # type: ignore[union-attr]
    queue.put(job("a"))
    assert [queue.take(0).client for _ in range(3)] == ["b", "c", "a"]  # type: ignore[union-attr]


def test_places_are_the_order_in_which_jobs_are_taken() -> None:
    queue, jobs = queue_of("a", "a", "a", "b", "c", "b")
    assert places(jobs) == [1, 4, 6, 2, 3, 5]
    queue.take(0)
    assert places(jobs[1:]) == [3, 5, 1, 2, 4]
    assert queue.remove(jobs[3])
    assert places([jobs[4], jobs[5], jobs[1], jobs[2]]) == [2, 1, 3, 4]
    taken = [queue.take(0) for _ in range(4)]
    assert {one.id for one in taken if one} == {jobs[i].id for i in (1, 2, 4, 5)}


def test_a_job_is_removed_once() -> None:
    queue, jobs = queue_of("a", "b")
    assert queue.remove(jobs[0])
    assert not queue.remove(jobs[0])
    assert len(queue) == 1
    assert places(jobs[1:]) == [1]


def test_one_client_may_not_fill_the_queue() -> None:
    queue, _ = queue_of("a", "a", limits=Limits(waiting=4, waiting_of_client=2))
    with pytest.raises(BusyError, match="2 of your jobs are waiting, and that is as many") as busy:
        queue.put(job("a"))
    assert busy.value.problem.retry_after == 1  # one job of the pace before any is known
    queue.put(job("b"))
    queue.put(job("c"))
    with pytest.raises(BusyError, match=r"^4 jobs are waiting, at most 4 may; try again later"):
        queue.put(job("d"))


def test_who_was_refused_comes_before_those_who_come_back() -> None:
    now = 0.0
    queue = JobQueue(Limits(waiting=3), clock=lambda: now)
    for client in "abx":
        queue.put(job(client))
    for client, wait in (("c", 1), ("d", 2), ("c", 1), ("a", 3)):
        assert refused(queue, client) == wait
    queue.take(0)
    assert refused(queue, "a") == 2  # whose sound was made
    assert refused(queue, "d") == 1
    queue.put(job("c"))
    queue.take(0)
    queue.take(0)
    assert refused(queue, "e") == 1
    queue.put(job("a"))
    queue.put(job("d"))


def test_a_place_is_kept_for_a_while() -> None:
    now = 0.0
    queue = JobQueue(Limits(waiting=1), clock=lambda: now)
    queue.put(job("a"))
    assert refused(queue, "b") == 1
    queue.take(0)
    with pytest.raises(BusyError, match="0 jobs are waiting, and 1 places are kept for others"):
        queue.put(job("c"))
    now = 1 + PATIENCE
    queue.put(job("c"))


def test_no_more_places_are_kept_than_there_are() -> None:
    queue = JobQueue(Limits(waiting=2), clock=lambda: 0.0)
    for client in "ab":
        queue.put(job(client))
    assert [refused(queue, client) for client in "cdefg"] == [1, 2, 3, 3, 3]


def refused(queue: JobQueue, client: str) -> int | None:
    with pytest.raises(BusyError, match=r"jobs are waiting.*; try again later") as busy:
        queue.put(job(client))
    return busy.value.problem.retry_after


def test_the_wait_follows_from_how_long_jobs_take() -> None:
    queue, _ = queue_of("a", "b", "a", limits=Limits(waiting=3))
    for pace, wait in ((7.0, 7), (12.0, 8), (1000.0, 60), (0.0, 60)):
        queue.took(pace)
        assert refused(queue, "c") == wait
    for _ in range(100):
        queue.took(0.0)
    assert refused(queue, "c") == 1


def test_jobs_that_match_are_taken_out_of_turn() -> None:
    queue, jobs = queue_of("a", "b", "b", "c")
    first = queue.take(0)
    assert first is jobs[0]
    assert queue.take_like(lambda one: one.client == "b") == [jobs[1], jobs[2]]
    assert places(jobs[3:]) == [1]
    assert queue.take(0) is jobs[3]


def test_a_closed_queue_returns_what_waits_and_takes_nothing() -> None:
    queue, jobs = queue_of("a", "b", "a")
    assert queue.close() == [jobs[0], jobs[1], jobs[2]]
    assert queue.take() is None
    with pytest.raises(EndingError, match="is ending and takes no new jobs"):
        queue.put(job("a"))
