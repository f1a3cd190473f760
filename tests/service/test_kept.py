"""Files expire, make room, and are their client's alone."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stable_audio_open.service.events import Cancelled, Done
from stable_audio_open.service.jobs import Job
from stable_audio_open.service.kept import Kept
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.problems import (
    BusyError,
    InvalidError,
    NotThereError,
    TooLargeError,
    UnknownError,
)
from stable_audio_open.service.requests import SoundRequest

DONE = Done(seeds=(1,), seconds=(0.5,))


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def wav(tmp_path: Path) -> bytes:
    soundfile.write(tmp_path / "x.wav", np.zeros((800, 1)), 8000)
    return (tmp_path / "x.wav").read_bytes()


def make(folder: Path, clock: Clock, **limits: int) -> Kept:
    return Kept(folder / "kept", Limits(**limits), clock)


def done_job(kept: Kept, *, client: str = "a", content: bytes = b"1234") -> Job:
    job = Job(SoundRequest(method="generate"), client=client, folder=kept.jobs_folder)
    job.folder.mkdir()
    (job.folder / "made").write_bytes(content)
    kept.add_job(job)
    job.tell(DONE)
    kept.end_job(job)
    return job


def test_jobs_are_their_clients_alone(tmp_path: Path, clock: Clock) -> None:
    kept = make(tmp_path, clock)
    job = done_job(kept)
    assert kept.job(job.id, client="a") is job
    assert kept.jobs(client="b") == []
    for client, id in (("b", job.id), ("a", "../x"), ("a", "")):
        with pytest.raises(UnknownError, match="no job of this id, or it has expired"):
            kept.job(id, client=client)


def test_results_expire(tmp_path: Path, clock: Clock) -> None:
    kept = make(tmp_path, clock, kept_seconds=100)
    job = done_job(kept)
    clock.now = 99
    kept.sweep()
    assert kept.job(job.id, client="a") is job
    clock.now = 100
    kept.sweep()
    assert kept.jobs(client="a") == []
    assert not job.folder.exists()


def test_what_runs_does_not_expire(tmp_path: Path, clock: Clock) -> None:
    kept = make(tmp_path, clock, kept_seconds=100)
    job = Job(SoundRequest(method="generate"), client="a", folder=kept.jobs_folder)
    job.folder.mkdir()
    kept.add_job(job)
    clock.now = 1000
    kept.sweep()
    assert kept.job(job.id, client="a") is job
    assert job.folder.exists()
    job.tell(Cancelled(reason="so"))
    kept.end_job(job)
    assert not job.folder.exists()
    assert kept.job(job.id, client="a").state == "cancelled"


def test_the_oldest_make_room(tmp_path: Path, clock: Clock) -> None:
    kept = make(tmp_path, clock, kept=3, kept_bytes=1000)
    jobs = [done_job(kept, content=bytes(10)) for _ in range(4)]
    kept.sweep()
    assert kept.jobs(client="a") == jobs[1:]
    big = done_job(kept, content=bytes(985))
    kept.sweep()
    assert kept.jobs(client="a") == [jobs[3], big]


def test_sounds_are_taken_and_expire(tmp_path: Path, clock: Clock, wav: bytes) -> None:
    kept = make(tmp_path, clock, sounds_of_client=2, kept_seconds=100)
    first = kept.take_sound(wav, client="a")
    assert (first.seconds, first.sample_rate, first.channels) == (0.1, 8000, 1)
    clock.now = 50
    second = kept.take_sound(wav, client="a")
    with pytest.raises(BusyError, match="2 of your sounds are kept") as busy:
        kept.take_sound(wav, client="a")
    assert busy.value.problem.retry_after == 50
    kept.take_sound(wav, client="b")
    clock.now = 100
    kept.sweep()
    assert not first.path.exists()
    assert kept.sound(second.id, client="a") == second
    with pytest.raises(UnknownError, match="no sound of this id"):
        kept.sound(second.id, client="b")


def test_what_is_no_sound_is_refused_without_a_trace(
    tmp_path: Path, clock: Clock, wav: bytes
) -> None:
    kept = make(tmp_path, clock, sound_bytes=len(wav))
    for content in (b"", b"RIFF", wav[: len(wav) // 2], b"<script>alert(1)</script>"):
        with pytest.raises(InvalidError, match=r"^the sound: ") as found:
            kept.take_sound(content, client="a")
        assert found.value.problem.field == "sound"
        assert str(tmp_path) not in str(found.value)
    with pytest.raises(TooLargeError, match=f"at most {len(wav)} are taken"):
        kept.take_sound(wav + b"1", client="a")
    assert list(kept.sounds_folder.iterdir()) == []


def test_ids_of_sounds_and_jobs_lead_to_files(tmp_path: Path, clock: Clock, wav: bytes) -> None:
    kept = make(tmp_path, clock)
    sound = kept.take_sound(wav, client="a")
    assert kept.path_of(sound.id, client="a", name="audio") == sound.path
    for id in ("x", "..", "", "\0", f"{sound.id}0"):
        with pytest.raises(InvalidError, match=r"^audio: there is no sound or job") as found:
            kept.path_of(id, client="a", name="audio")
        assert found.value.problem.field == "audio"
    with pytest.raises(InvalidError, match=r"item of a job must be a number, got '\.\./x'"):
        kept.path_of(f"{sound.id}/../x", client="a", name="audio")
    with pytest.raises(InvalidError, match="no sound or job"):
        kept.path_of(sound.id, client="b", name="audio")
    job = Job(SoundRequest(method="generate"), client="a", folder=kept.jobs_folder)
    kept.add_job(job)
    with pytest.raises(NotThereError, match="the job is waiting, and has no sound"):
        kept.done(job.id, client="a")
    with pytest.raises(InvalidError, match=r"^audio: the job is waiting"):
        kept.path_of(job.id, client="a", name="audio")
