"""The endpoints, from a request to a file, and what they answer to what is wrong."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from fastapi import FastAPI

from stable_audio_open.audio.audio import Audio
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.service.events import Step
from stable_audio_open.service.http.app import create_app
from stable_audio_open.service.http.keys import Keys
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.models import ServedModels
from stable_audio_open.service.service import Service
from tests.service.conftest import FOREVER, MakeService, in_thread, until
from tests.service.http.calls import call, make, problem

WAV = {"content-type": "audio/wav"}
ME = "address 127.0.0.1"
LIMITS = Limits(steps=FOREVER, sound_bytes=1 << 20, waiting_of_client=3, sounds_of_client=100)


@pytest.fixture(scope="module")
def service(
    small_models: ServedModels, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """One for all tests that leave it as it is."""
    folder = tmp_path_factory.mktemp("service")
    with Service(small_models, limits=LIMITS, start_worker=in_thread, folder=folder) as service:
        yield service


@pytest.fixture(scope="module")
def app(service: Service) -> FastAPI:
    return create_app(service)


@pytest.fixture
def own_service(make_service: MakeService) -> Service:
    return make_service(limits=LIMITS)


@pytest.fixture
def own_app(own_service: Service) -> FastAPI:
    return create_app(own_service)


@pytest.fixture
def wav(tmp_path: Path) -> bytes:
    noise = 0.1 * np.random.default_rng(0).standard_normal((8000, 2))
    soundfile.write(tmp_path / "kick.wav", noise, 16000, subtype="FLOAT")
    return (tmp_path / "kick.wav").read_bytes()


def test_a_file_is_the_one_that_python_saves(
    app: FastAPI, service: Service, tiny_model_folder: Path, tmp_path: Path
) -> None:
    id = make(app, service, prompt="deep kick", duration=0.5, seed=3)
    state = call(app, "GET", f"/v1/jobs/{id}").json()
    assert (state["state"], state["seeds"], state["seconds"]) == ("done", [3], [0.5])
    assert (state["step"], state["steps"], state["method"]) == (1, 1, "generate")
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    own = model.generate("deep kick", duration=0.5, seed=3, steps=1)
    for format, kind in (
        ("wav", "audio/wav"),
        ("flac", "audio/flac"),
        ("mp3", "audio/mpeg"),
        ("ogg", "audio/ogg"),
    ):
        response = call(app, "GET", state["links"]["result"], params={"format": format})
        assert response.headers["content-type"] == kind
        assert f'filename="{id}_0.{format}"' in response.headers["content-disposition"]
        path = tmp_path / f"found.{format}"
        path.write_bytes(response.content)
        own.save(tmp_path / f"own.{format}")
        assert torch.equal(Audio.load(path).samples, Audio.load(tmp_path / f"own.{format}").samples)
    (tags,) = call(app, "GET", state["links"]["tags"]).json()
    assert tags["prompt"] == "deep kick"


def test_sounds_are_sent_worked_on_and_removed(
    own_app: FastAPI, own_service: Service, wav: bytes
) -> None:
    response = call(own_app, "POST", "/v1/sounds", headers=WAV, content=wav)
    assert response.status_code == 201
    sound = response.json()
    assert (sound["seconds"], sound["sample_rate"], sound["channels"]) == (0.5, 16000, 2)
    for path, body in (
        ("variation", {"init_audio": sound["id"], "duration": 0.5}),
        ("inpaint", {"audio": sound["id"], "spans": [[0.1, 0.2]]}),
        ("extend", {"audio": sound["id"], "seconds": 0.1}),
        ("reconstruct", {"audio": sound["id"]}),
    ):
        id = make(own_app, own_service, path, **body)
        assert call(own_app, "GET", f"/v1/jobs/{id}").json()["state"] == "done", path
    assert len(call(own_app, "GET", "/v1/jobs").json()) == 4
    assert call(own_app, "DELETE", f"/v1/sounds/{sound['id']}").status_code == 204
    response = call(own_app, "POST", "/v1/reconstruct", json={"audio": sound["id"]})
    assert problem(response)["field"] == "audio"


@pytest.mark.parametrize(
    ("path", "body", "field", "detail"),
    [
        ("generate", {}, "prompt", "prompt is missing"),
        ("generate", {"prompt": 3}, "prompt", "prompt: "),
        (
            "generate",
            {"prompt": "a", "steps": "3"},
            "steps",
            "steps: input should be a valid integer, got '3'",
        ),
        ("generate", {"prompt": "a", "steps": True}, "steps", "steps: "),
        ("generate", {"prompt": "a", "stepz": 3}, "stepz", "there is no field 'stepz'"),
        ("generate", {"prompt": "a", "steps": 0}, "steps", "steps must be at least 1"),
        ("generate", {"prompt": "a", "model": "x"}, "model", "there is none named 'x'"),
        ("generate", {"prompt": "a", "callback": 1}, "callback", "no field"),
        ("generate", {"prompt": "a", "finish": {"peak": 3}}, "finish", "peak must be -200 to 0"),
        ("generate", {"prompt": "a", "finish": {"pek": 3}}, "finish", "no field 'pek'"),
        ("generate", {"prompt": "a", "init_audio": "x" * 65}, "init_audio", "init_audio: "),
        ("generate", {"prompt": "a", "sampler": "k-diffusion:__import__"}, "sampler", "sampler"),
        ("variation", {"prompt": "a"}, "init_audio", "init_audio is missing"),
        (
            "variation",
            {"prompt": "a", "init_audio": "/etc/passwd"},
            "init_audio",
            "the item of a job must be a number",
        ),
        ("inpaint", {"prompt": "a", "audio": "x"}, "spans", "spans is missing"),
        ("reconstruct", {"audio": "x", "prompt": "a"}, "prompt", "no field 'prompt'"),
    ],
)
def test_mistakes_are_problem_documents_with_their_field(
    app: FastAPI, path: str, body: dict[str, Any], field: str, detail: str
) -> None:
    found = problem(call(app, "POST", f"/v1/{path}", json=body))
    assert (found["status"], found["field"]) == (422, field)
    assert detail in found["detail"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"prompt": NaN}', b"[" * 100_000]
)
def test_what_is_no_object_is_a_problem(app: FastAPI, content: bytes) -> None:
    headers = {"content-type": "application/json"}
    response = call(app, "POST", "/v1/generate", headers=headers, content=content)
    assert problem(response)["status"] in (400, 422)


@pytest.mark.parametrize(
    "prompt",
    [
        "'; rm -rf / #",
        "$(touch /tmp/owned) `id` | cat",
        "<script>alert(1)</script>",
        "../../etc/passwd",
        "C:\\Windows\\..\\x",
        "🥁🔊 \U0001f469\u200d\U0001f469",
        "a\0b",
        "\u202eevil\x1b[31m\r\nx: y",
        "%s %n {0} {{7*7}}",
        "x" * 2000,
    ],
)
def test_hostile_prompts_are_texts(app: FastAPI, service: Service, prompt: str) -> None:
    id = make(app, service, prompt=prompt, duration=0.1)
    assert call(app, "GET", f"/v1/jobs/{id}").json()["state"] == "done"
    assert call(app, "GET", f"/v1/jobs/{id}/tags").json()[0]["prompt"] == prompt
    response = call(app, "GET", f"/v1/jobs/{id}/result")
    assert response.content[:4] == b"RIFF"
    assert prompt not in str(response.headers)


def test_prompts_that_are_none_are_refused(app: FastAPI) -> None:
    response = call(app, "POST", "/v1/generate", json={"prompt": "x" * 10_000})
    assert problem(response)["field"] == "prompt"
    assert "10000 characters, at most 2000" in response.text
    content = b'{"prompt": "\\ud800"}'
    headers = {"content-type": "application/json"}
    response = call(app, "POST", "/v1/generate", headers=headers, content=content)
    assert problem(response)["field"] == "prompt"


def test_hostile_sounds_are_refused(
    app: FastAPI, service: Service, wav: bytes, tmp_path: Path
) -> None:
    for content in (
        b"",
        b"\0",
        b"RIFF\xff\xff\xff\xffWAVE",
        wav[:100],
        b"%PDF-1.7",
        b"PK\x03\x04",
    ):
        response = call(app, "POST", "/v1/sounds", headers=WAV, content=content)
        assert problem(response)["field"] == "sound"
        assert str(tmp_path) not in response.text
    response = call(app, "POST", "/v1/sounds", headers=WAV, content=bytes((1 << 20) + 1))
    assert problem(response)["status"] == 413


def test_what_only_decoding_tells_fails_the_job(
    app: FastAPI, service: Service, tmp_path: Path
) -> None:
    infinite = np.full((8000, 2), np.inf, dtype="float32")
    soundfile.write(tmp_path / "x.wav", infinite, 16000, subtype="FLOAT")
    noise = np.random.default_rng(0).uniform(-1, 1, (8000, 2))
    soundfile.write(tmp_path / "x.flac", noise, 16000)
    for content in ((tmp_path / "x.wav").read_bytes(), (tmp_path / "x.flac").read_bytes()[:2000]):
        sound = call(app, "POST", "/v1/sounds", headers=WAV, content=content).json()
        job = make(app, service, "reconstruct", audio=sound["id"])
        state = call(app, "GET", f"/v1/jobs/{job}").json()
        assert state["state"] == "failed"
        assert (state["problem"]["status"], state["problem"]["field"]) == (422, "audio")
        assert str(tmp_path) not in str(state)


def test_hostile_headers_do_no_harm(app: FastAPI, service: Service) -> None:
    id = make(app, service)
    for name, value in (
        ("last-event-id", "9" * 5000),
        ("last-event-id", "-1"),
        ("last-event-id", "\u0663"),
        ("range", "bytes=999999999-0"),
        ("range", "bytes=" + "0-0," * 1000),
        ("if-none-match", "*" * 5000),
        ("accept-encoding", "x" * 5000),
        ("x-forwarded-for", "10.0.0.1"),
    ):
        headers = {name: value.encode()}
        for path in ("events", "result", "tags"):
            response = call(app, "GET", f"/v1/jobs/{id}/{path}", headers=headers)
            assert response.status_code < 500, (name, path)


def test_events_are_told_and_told_again_from_any_place(app: FastAPI, service: Service) -> None:
    id = make(app, service, prompt="bell", seed=3, duration=0.5)
    response = call(app, "GET", f"/v1/jobs/{id}/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    events = _events(response.text)
    assert [name for _, name, _ in events][-3:] == ["running", "step", "done"]
    assert events[-1][2] == {"event": "done", "seeds": [3], "seconds": [0.5]}
    last = events[-2][0]
    again = call(app, "GET", f"/v1/jobs/{id}/events", headers={"last-event-id": last})
    assert _events(again.text) == events[-1:]


def test_a_failure_is_told_as_a_problem(app: FastAPI, service: Service) -> None:
    id = make(app, service, conditions={"bpm": 3})
    _, name, data = _events(call(app, "GET", f"/v1/jobs/{id}/events").text)[-1]
    assert name == "failed"
    assert data["problem"]["field"] == "conditions"
    assert call(app, "GET", f"/v1/jobs/{id}").json()["problem"] == data["problem"]
    found = problem(call(app, "GET", f"/v1/jobs/{id}/result"))
    assert (found["status"], found["detail"]) == (409, "the job is failed, and has no sound")


def test_jobs_wait_are_cancelled_and_refused_politely(
    own_app: FastAPI, own_service: Service
) -> None:
    body = {"prompt": "kick", "steps": FOREVER}
    running = call(own_app, "POST", "/v1/generate", json=body).json()["id"]
    until(own_service.job(running, client=ME), Step)
    waiting = [call(own_app, "POST", "/v1/generate", json=body) for _ in range(3)]
    assert [one.json()["place"] for one in waiting] == [1, 2, 3]
    refused = call(own_app, "POST", "/v1/generate", json=body)
    assert problem(refused)["status"] == 429
    assert int(refused.headers["retry-after"]) == problem(refused)["retry_after"] >= 1
    for one in waiting:
        state = call(own_app, "DELETE", one.headers["location"]).json()
        assert (state["state"], state["reason"]) == ("cancelled", "cancelled by who asked for it")
        assert "place" not in state
    assert call(own_app, "DELETE", f"/v1/jobs/{running}").json()["state"] == "cancelled"
    counted = threading.Event()  # which is after the event that ends the job
    own_service.on_end.append(lambda job, seconds: counted.set() if job.state == "done" else None)
    make(own_app, own_service)
    counted.wait()
    text = call(own_app, "GET", "/metrics").text
    for line in (
        'stable_audio_open_jobs_total{method="generate",state="cancelled"} 4.0',
        'stable_audio_open_jobs_total{method="generate",state="done"} 1.0',
        'stable_audio_open_refused_total{status="429"} 1.0',
        "stable_audio_open_waiting_jobs 0.0",
        "stable_audio_open_worker_restarts 0.0",
        "stable_audio_open_sound_seconds_total 1.0",
    ):
        assert line in text


def test_a_stream_is_a_wav_file(app: FastAPI, service: Service) -> None:
    id = make(app, service, stream=True, duration=0.5)
    response = call(app, "GET", f"/v1/jobs/{id}/stream")
    assert response.headers["content-type"] == "audio/wav"
    samples = service.audio(id, client=ME).samples
    assert response.content[-samples.numel() * 4 :] == samples[0].T.contiguous().numpy().tobytes()
    assert call(app, "GET", f"/v1/jobs/{id}/tags").json() == []
    described = call(app, "GET", "/openapi.json").json()["paths"]["/v1/jobs/{id}/stream"]
    assert "does not say how the sound was made" in described["get"]["description"]
    assert problem(call(app, "GET", f"/v1/jobs/{make(app, service)}/stream"))["status"] == 409


def test_what_is_not_there_is_a_problem(app: FastAPI, service: Service) -> None:
    id = make(app, service)
    for method, path, status in (
        ("GET", "/v1/jobs/x", 404),
        ("GET", "/v1/jobs/%2e%2e%2fx", 404),
        ("GET", "/v1/jobs/x/events", 404),
        ("GET", "/v1/jobs/x/stream", 404),
        ("DELETE", "/v1/jobs/x", 404),
        ("DELETE", "/v1/sounds/x", 404),
        ("GET", f"/v1/jobs/{id}/preview", 409),
        ("GET", f"/v1/jobs/{id}/result?item=1", 422),
        ("GET", f"/v1/jobs/{id}/result?item=x", 422),
        ("GET", f"/v1/jobs/{id}/result?format=exe", 422),
        ("GET", f"/v1/jobs/{id}/result?format=flac&subtype=float", 422),
        ("GET", "/docs", 404),
        ("GET", "/v2", 404),
        ("DELETE", "/v1/models", 405),
    ):
        assert problem(call(app, method, path))["status"] == status, path


def test_nobody_sees_what_is_anothers(own_service: Service) -> None:
    app = create_app(
        own_service, keys=Keys({"ann": "the secret of ann", "bob": "the secret of bob"})
    )
    ann, bob = ({"authorization": f"Bearer the secret of {name}"} for name in ("ann", "bob"))
    body = {"prompt": "kick", "steps": 1, "duration": 0.1}
    response = call(app, "POST", "/v1/generate", json=body, headers=ann)
    path = response.headers["location"]
    own_service.job(response.json()["id"], client="key ann").wait()
    for end in ("", "/result", "/events", "/tags"):
        assert call(app, "GET", path + end, headers=ann).status_code == 200
        assert call(app, "GET", path + end, headers=bob).status_code == 404
        assert call(app, "GET", path + end).status_code == 401
    assert call(app, "GET", "/v1/jobs", headers=bob).json() == []


def test_other_sites_get_no_leave(app: FastAPI) -> None:
    headers = {
        "origin": "https://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    response = call(app, "OPTIONS", "/v1/generate", headers=headers)
    assert response.status_code == 405
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_facts_are_told(own_app: FastAPI, own_service: Service) -> None:
    (model,) = call(own_app, "GET", "/v1/models").json()
    assert (model["name"], model["window_seconds"], model["sampler"]) == ("small", 1.0, "dpmpp-2m")
    assert call(own_app, "GET", "/v1/adapters").json() == []
    assert call(own_app, "GET", "/v1/limits").json()["steps"] == FOREVER
    assert call(own_app, "GET", "/health").json() == {"status": "ok"}
    own_service.drain()
    response = call(own_app, "GET", "/health")
    assert (response.status_code, response.json()) == (503, {"status": "not ready"})
    body = {"prompt": "kick"}
    assert problem(call(own_app, "POST", "/v1/generate", json=body))["status"] == 503


def test_the_description_is_json_and_whole(app: FastAPI) -> None:
    def refused(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    text = call(app, "GET", "/openapi.json").text
    schema = json.loads(text, parse_constant=refused)
    assert {"/v1/generate", "/v1/jobs/{id}/events", "/metrics"} <= schema["paths"].keys()
    fields = schema["components"]["schemas"]["Generate"]["properties"]
    assert fields["steps"]["description"] == "Sampling steps."
    assert "Problem" in schema["components"]["schemas"]


def _events(text: str) -> list[tuple[str, str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line)
        if "data" in fields:
            found.append((fields["id"], fields["event"], json.loads(fields["data"])))
    return found
