"""A job tells what happens, to whoever listens and however slowly."""

import asyncio
from pathlib import Path

from stable_audio_open.service.events import Cancelled, Done, Running, Step, Waiting
from stable_audio_open.service.jobs import Job, Numbered, new_id
from stable_audio_open.service.requests import SoundRequest

DONE = Done(seeds=(1,), seconds=(0.5,))


def a_job() -> Job:
    return Job(SoundRequest(method="generate"), client="a", folder=Path("jobs"))


async def all_events(job: Job, after: int = 0) -> list[Numbered]:
    return [one async for one in job.events(after)]


def test_states_follow_from_events() -> None:
    job = a_job()
    states = [job.state]
    for event in (Waiting(place=1), Running(), Step(number=1, steps=2), DONE):
        assert job.tell(event)
        states.append(job.state)
    assert states == ["waiting", "waiting", "running", "running", "done"]


def test_after_the_last_event_none_counts() -> None:
    job = a_job()
    assert job.tell(Cancelled(reason="so"))
    assert not job.tell(DONE)
    assert job.state == "cancelled"
    assert job.wait(0) == Cancelled(reason="so")


def test_who_comes_late_gets_the_newest_of_each_kind_in_order() -> None:
    job = a_job()
    for event in (
        Waiting(place=2),
        Waiting(place=1),
        Running(),
        *(Step(number=n, steps=3) for n in (1, 2, 3)),
        DONE,
    ):
        job.tell(event)
    found = asyncio.run(all_events(job))
    assert [one.event for one in found] == [
        Waiting(place=1),
        Running(),
        Step(number=3, steps=3),
        DONE,
    ]
    numbers = [one.number for one in found]
    assert numbers == sorted(numbers)
    assert asyncio.run(all_events(job, after=numbers[-2])) == found[-1:]


def test_events_from_another_thread_reach_a_loop() -> None:
    job = a_job()

    async def listen() -> list[Numbered]:
        listening = asyncio.ensure_future(all_events(job))
        await asyncio.sleep(0)
        for event in (Waiting(place=1), Step(number=1, steps=1), DONE):
            await asyncio.to_thread(job.tell, event)
        return await listening

    assert asyncio.run(listen())[-1].event == DONE


def test_places_are_told_the_oftener_the_nearer_they_are() -> None:
    job, told = a_job(), []
    for place in (*range(40, 0, -1), 1, 2):
        job.move(place)
        assert job.place == place
        (event,) = [one.event for one in job.newer(0)]
        if event not in told:
            told.append(event)
    assert [event.place for event in told] == [40, 30, 22, 16, 12, *range(10, 0, -1)]  # type: ignore[attr-defined]
    assert job.event == Waiting(place=2)


def test_ids_are_long_and_fit_into_paths() -> None:
    ids = {new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(one) == 32 and one.isalnum() and one.isascii() for one in ids)
