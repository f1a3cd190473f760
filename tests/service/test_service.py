"""One object from requests to sounds; its worker is a thread here."""

import asyncio
import stat
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import soundfile
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.finishing import Finishing
from stable_audio_open.checkpoint.lora.adapter import Adapter, save_adapter
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.service.events import (
    Cancelled,
    Done,
    Failed,
    Preview,
    Running,
    Step,
    Waiting,
)
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.models import Named, ServedModels
from stable_audio_open.service.problems import (
    BusyError,
    EndingError,
    InvalidError,
    NotThereError,
    UnknownError,
)
from stable_audio_open.service.requests import SoundRequest
from tests.service.conftest import FOREVER, MakeService, asked, endless, until


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> StableAudio:
    return StableAudio.from_pretrained(tiny_model_folder, device="cpu")


@pytest.fixture
def kick(tmp_path: Path) -> bytes:
    noise = 0.1 * np.random.default_rng(0).standard_normal((8000, 2))
    soundfile.write(tmp_path / "kick.wav", noise, 16000, subtype="FLOAT")
    return (tmp_path / "kick.wav").read_bytes()


def test_sounds_are_those_of_the_model_bit_by_bit(
    make_service: MakeService, model: StableAudio
) -> None:
    service = make_service()
    job = service.submit(asked(seed=7, guidance_scale=3.0), client="a")
    assert job.wait() == Done(seeds=(7,), seconds=(0.5,))
    made = service.audio(job.id, client="a")
    own = model.generate("deep kick", duration=0.5, steps=2, seed=7, guidance_scale=3.0)
    assert torch.equal(made.samples, own.samples)
    assert made.fade == own.fade
    (tags,) = made.tags
    assert tags["seed"] == 7
    assert tags["settings"]["steps"] == 2  # type: ignore[index]
    assert tags["model"]["name"] == "small"  # type: ignore[index]
    path = service.result(job.id, client="a", format="flac")
    own.save(path.parent / "own.flac")
    assert torch.equal(Audio.load(path).samples, Audio.load(path.parent / "own.flac").samples)


def test_every_method_makes_what_the_model_makes(
    make_service: MakeService, model: StableAudio, kick: bytes, tmp_path: Path
) -> None:
    service, path = make_service(), tmp_path / "kick.wav"
    id = service.add_sound(kick, client="a").id
    common = {"prompt": "bell", "steps": 2, "seed": 3}
    cases = (
        ("generate", "init_audio", {**common, "duration": 0.5, "init_strength": 0.5}),
        ("inpaint", "audio", {**common, "spans": [(0.1, 0.2)], "resampling": 1}),
        ("extend", "audio", {**common, "seconds": 0.2, "resampling": 1}),
        ("reconstruct", "audio", {}),
    )
    for method, name, arguments in cases:
        request = SoundRequest(method=method, arguments=arguments, sounds={name: id})  # type: ignore[arg-type]
        job = service.submit(request, client="a")
        assert isinstance(job.wait(), Done), job.event
        made = service.audio(job.id, client="a")
        if method == "reconstruct":
            samples = model.autoencoder.reconstruct(Audio.load(path).samples)
        else:
            samples = getattr(model, method)(**arguments, **{name: path}).samples
            assert made.tags[0]["settings"][name]["file"] == name  # type: ignore[index]
            assert str(tmp_path) not in str(made.tags)
        assert torch.equal(made.samples, samples), method


def test_a_sound_that_was_made_can_be_worked_on(make_service: MakeService) -> None:
    service = make_service()
    first = service.submit(asked(["deep kick", "bell"], seed=1), client="a")
    assert isinstance(first.wait(), Done)
    request = SoundRequest(method="reconstruct", sounds={"audio": f"{first.id}/1"})
    again = service.submit(request, client="a")
    assert again.wait() == Done(seeds=(), seconds=(0.5,))
    with pytest.raises(InvalidError, match="audio: item must be 0 to 1, got 2"):
        service.submit(
            SoundRequest(method="reconstruct", sounds={"audio": f"{first.id}/2"}), client="a"
        )
    with pytest.raises(InvalidError, match="no sound or job of this id"):
        service.submit(request, client="b")


def test_sounds_are_finished(make_service: MakeService) -> None:
    service = make_service()
    request = SoundRequest(
        method="generate",
        arguments={"prompt": "bell", "duration": 0.5, "steps": 1},
        finishing=Finishing(channels=1, peak=-3.0),
    )
    job = service.submit(request, client="a")
    assert isinstance(job.wait(), Done)
    audio = service.audio(job.id, client="a")
    assert audio.channels == 1
    assert float(audio.samples.abs().max()) == pytest.approx(10 ** (-3 / 20))
    assert audio.tags[0]["finishing"]


def test_adapters_are_asked_for_by_name(
    make_service: MakeService, model: StableAudio, tiny_model_folder: Path, tmp_path: Path
) -> None:
    name, layer = "output_projection", model.transformer.output_projection
    generator = torch.Generator().manual_seed(0)
    outputs, inputs = layer.weight.shape
    adapter = Adapter(
        down={name: torch.randn(2, inputs, generator=generator)},
        up={name: torch.randn(outputs, 2, generator=generator)},
        scale=1.0,
        settings={"peft_type": "LORA", "r": 2, "lora_alpha": 2},
        source="test",
    )
    save_adapter(adapter, tmp_path / "adapter")
    served = ServedModels(
        models=(Named("small", str(tiny_model_folder)),),
        adapters=(Named("soft", str(tmp_path / "adapter")),),
    )
    service = make_service(models=served)
    assert service.adapters() == service.models()[0].adapters == ("soft",)
    arguments = {"prompt": "bell", "duration": 0.5, "steps": 2, "seed": 1}
    own = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    plain = own.generate(**arguments)  # type: ignore[arg-type]
    own.load_adapter(tmp_path / "adapter", name="soft")
    for adapters in ((), (("soft", 0.5),), (("soft", 0.0),), ()):
        request = SoundRequest(method="generate", arguments=arguments, adapters=adapters)
        job = service.submit(request, client="a")
        assert isinstance(job.wait(), Done), job.event
        audio = service.audio(job.id, client="a")
        expected = own.generate(**arguments, adapters=dict(adapters))  # type: ignore[arg-type]
        assert torch.equal(audio.samples, expected.samples)
        moved = any(weight for _, weight in adapters)
        assert torch.equal(audio.samples, plain.samples) is not moved
        said = audio.tags[0]["model"].get("adapters", [])  # type: ignore[attr-defined]
        assert [(one["name"], one["folder"]) for one in said] == [("soft", "soft")] * moved
        assert str(tmp_path) not in str(audio.tags)


def test_events_tell_the_way(make_service: MakeService) -> None:
    service = make_service()
    job = service.submit(asked(steps=3), client="a")
    done = job.wait()

    async def listen() -> list[object]:
        return [event async for _, event in service.events(job.id, client="a")]

    assert asyncio.run(listen())[-3:] == [
        Running(together=1),
        Step(number=3, steps=3),
        done,
    ]


@pytest.mark.slow
def test_what_waits_is_told_its_place_and_what_runs_can_be_cancelled(
    make_service: MakeService,
) -> None:
    service = make_service()
    running = service.submit(endless(), client="a")
    until(running, Step)
    first = service.submit(asked(), client="a")
    second = service.submit(asked(), client="b")
    third = service.submit(asked(), client="a")
    assert [job.event for job in (first, second, third)] == [
        Waiting(place=place) for place in (1, 2, 3)
    ]
    service.cancel(first.id, client="a")
    assert first.state == "cancelled"
    assert [job.event for job in (third, second)] == [Waiting(place=1), Waiting(place=2)]
    assert service.cancel(running.id, client="a").state == "cancelled"
    assert isinstance(second.wait(), Done)
    assert isinstance(third.wait(), Done)
    assert not running.folder.exists()
    with pytest.raises(NotThereError, match="the job is cancelled, and has no sound"):
        service.result(running.id, client="a")
    assert service.cancel(second.id, client="b").state == "done"


def test_nobody_sees_what_is_anothers(make_service: MakeService, kick: bytes) -> None:
    service = make_service()
    job = service.submit(asked(), client="a")
    sound = service.add_sound(kick, client="a")
    job.wait()
    for call in (service.job, service.cancel, service.result, service.audio, service.events):
        with pytest.raises(UnknownError, match="there is no job of this id"):
            call(job.id, client="b")
    with pytest.raises(UnknownError, match="there is no sound of this id"):
        service.forget_sound(sound.id, client="b")
    service.forget_sound(sound.id, client="a")
    assert service.jobs(client="b") == []


def test_a_job_goes_on_with_a_sound_that_was_removed(
    make_service: MakeService, kick: bytes
) -> None:
    service = make_service()
    running = service.submit(endless(), client="b")
    until(running, Step)
    sound = service.add_sound(kick, client="a")
    job = service.submit(SoundRequest(method="reconstruct", sounds={"audio": sound.id}), client="a")
    service.forget_sound(sound.id, client="a")
    service.cancel(running.id, client="b")
    assert isinstance(job.wait(), Done)


def test_what_the_model_refuses_fails_with_its_field(
    make_service: MakeService, kick: bytes, tmp_path: Path
) -> None:
    service = make_service()
    job = service.submit(asked(conditions={"bpm": 120}), client="a")
    event = job.wait()
    assert isinstance(event, Failed)
    assert event.problem.status == 422
    assert event.problem.field == "conditions"
    assert 'conditions give "bpm", on which the model is not conditioned' in event.problem.detail
    noise = np.full((8000, 2), np.nan, dtype="float32")
    soundfile.write(tmp_path / "nan.wav", noise, 16000, subtype="FLOAT")
    id = service.add_sound((tmp_path / "nan.wav").read_bytes(), client="a").id
    job = service.submit(SoundRequest(method="reconstruct", sounds={"audio": id}), client="a")
    event = job.wait()
    assert isinstance(event, Failed)
    assert event.problem.field == "audio"
    assert event.problem.detail.startswith("audio: holds NaN or infinite samples")
    assert isinstance(service.submit(asked(), client="a").wait(), Done)


def test_previews_are_given(make_service: MakeService) -> None:
    service = make_service()
    request = SoundRequest(
        method="generate",
        arguments={"prompt": "bell", "steps": FOREVER},
        preview_every=2,
    )
    job = service.submit(request, client="a")
    with pytest.raises(NotThereError, match="preview_every"):
        service.preview(service.submit(asked(), client="a").id, client="a")
    until(job, Preview)
    assert Audio.load(service.preview(job.id, client="a")).sample_rate == 16000
    service.cancel(job.id, client="a")


def test_a_stream_is_the_sound_piece_by_piece(
    make_service: MakeService, model: StableAudio, tmp_path: Path
) -> None:
    service = make_service()
    arguments = {"prompt": "bell", "duration": 0.9, "steps": 2, "seed": 5}
    job = service.submit(
        SoundRequest(method="generate", arguments=arguments, stream=True), client="a"
    )

    async def joined() -> bytes:
        return b"".join([piece async for piece in service.stream(job.id, client="a")])

    content = asyncio.run(joined())
    samples = torch.cat([p.samples for p in model.stream(**arguments)], dim=-1)  # type: ignore[arg-type]
    made = service.audio(job.id, client="a")
    assert torch.equal(made.samples, samples)
    assert content[:4] == b"RIFF"
    body = np.frombuffer(content[-samples.numel() * 4 :], dtype="<f4").reshape(-1, 2)
    assert torch.equal(torch.from_numpy(body.T.copy())[None], samples)
    (tmp_path / "stream.wav").write_bytes(content)
    found, rate = soundfile.read(tmp_path / "stream.wav", dtype="float32")
    assert rate == 16000
    assert np.array_equal(found, body)
    with pytest.raises(NotThereError, match="was asked for as a whole"):
        service.stream(service.submit(asked(), client="a").id, client="a")


def test_a_stream_that_comes_to_nothing_says_so(make_service: MakeService) -> None:
    service = make_service()
    request = SoundRequest(
        method="generate", arguments={"prompt": "bell", "steps": FOREVER}, stream=True
    )
    job = service.submit(request, client="a")
    until(job, Step)
    pieces = service.stream(job.id, client="a")
    service.cancel(job.id, client="a")

    async def first() -> bytes:
        return await anext(pieces)

    with pytest.raises(NotThereError, match="the job was cancelled by who asked for it"):
        asyncio.run(first())


def test_a_job_that_takes_too_long_fails_and_the_next_is_made(make_service: MakeService) -> None:
    service = make_service(limits=Limits(steps=FOREVER, job_seconds=0.05, stop_seconds=60))
    event = service.submit(endless(), client="a").wait()
    assert isinstance(event, Failed)
    assert "took longer than the 0.05 seconds that it may" in event.problem.detail
    assert service.pool.restarts == 0


def test_a_client_uses_up_its_time(make_service: MakeService) -> None:
    service = make_service(limits=Limits(client_seconds=1e-6))
    assert isinstance(service.submit(asked(), client="a").wait(), Done)
    service.submit(asked(), client="b").wait()  # the worker is done with the first
    with pytest.raises(BusyError, match="in an hour") as busy:
        service.submit(asked(), client="a")
    assert 3500 <= (busy.value.problem.retry_after or 0) <= 3600


def test_the_queue_is_bounded_and_a_refusal_leaves_nothing(make_service: MakeService) -> None:
    service = make_service(limits=Limits(steps=FOREVER, waiting_of_client=1))
    running = service.submit(endless(), client="a")
    until(running, Step)
    service.submit(asked(), client="a")
    with pytest.raises(BusyError, match="1 of your jobs are waiting"):
        service.submit(asked(), client="a")
    assert len(service.jobs(client="a")) == 2
    assert len(list(running.folder.parent.iterdir())) == 2


def test_what_waits_is_told_of_the_end_and_what_runs_may_end(make_service: MakeService) -> None:
    service = make_service()
    running = service.submit(endless(), client="a")
    until(running, Step)
    waiting = service.submit(asked(), client="b")
    assert service.ready
    service.drain()
    assert waiting.event == Cancelled(reason="the service has ended")
    assert running.state == "running"
    assert not service.ready
    with pytest.raises(EndingError, match="is ending and takes nothing more"):
        service.submit(asked(), client="a")
    folder = running.folder.parents[1]
    service.close()
    assert running.event == Cancelled(reason="the service has ended")
    assert not folder.exists()


def test_a_model_or_adapter_that_cannot_be_loaded_is_refused_at_once(
    make_service: MakeService, tiny_model_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        make_service(models=ServedModels(models=(Named("x", str(tmp_path / "nowhere")),)))
    adapters = (Named("soft", str(tmp_path / "elsewhere")),)
    served = ServedModels(models=(Named("x", str(tiny_model_folder)),), adapters=adapters)
    with pytest.raises(ValueError, match="elsewhere: holds no adapter_config"):
        make_service(models=served)
    with pytest.raises(ValueError, match="there is no device to work on"):
        make_service(devices=())


def test_models_tell_what_they_are(make_service: MakeService) -> None:
    (facts,) = make_service().models()
    assert (facts.name, facts.sample_rate, facts.channels) == ("small", 16000, 2)
    assert (facts.window_seconds, facts.steps, facts.guidance_scale) == (1.0, 100, 7.0)
    assert (facts.device, facts.dtype, facts.conditions) == ("cpu", "float32", ())


@pytest.mark.slow
def test_what_a_killed_service_left_is_removed_by_the_next(
    make_service: MakeService, tmp_path: Path
) -> None:
    command = (
        "import os; from pathlib import Path\n"
        "from stable_audio_open.service.service import Service\n"
        f"service = Service(devices=('cpu',), folder=Path({str(tmp_path)!r})); os._exit(9)"
    )
    ended = subprocess.run([sys.executable, "-c", command], check=False)
    assert ended.returncode == 9
    (left,) = tmp_path.iterdir()
    assert stat.S_IMODE(left.stat().st_mode) == 0o700
    (left / "sounds" / "secret.wav").touch()
    first = make_service()
    assert not left.exists()
    second = make_service()  # which takes nothing of the one that lives
    (one, other) = tmp_path.iterdir()
    first.close()
    second.close()
    assert list(tmp_path.iterdir()) == []
    assert one != other


@pytest.mark.parametrize("kind", [OSError, RuntimeError])
def test_a_worker_that_cannot_be_started_is_told(
    make_service: MakeService, kind: type[Exception]
) -> None:
    def start() -> NoReturn:
        raise kind("no process more")

    with pytest.raises(kind, match="no process more"):
        make_service(start_worker=lambda served, device: start)
