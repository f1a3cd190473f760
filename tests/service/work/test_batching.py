"""Requests of one shape are made together, each as by itself."""

from typing import Any

import pytest
import torch

from stable_audio_open.pretrained import StableAudio
from stable_audio_open.service.events import Done, Running, Step
from stable_audio_open.service.limits import Limits
from stable_audio_open.service.requests import SoundRequest
from stable_audio_open.service.work.batching import joined_arguments, shape_of
from tests.service.conftest import FOREVER, MakeService, asked, endless, until


@pytest.mark.parametrize(
    "arguments",
    [
        {"duration": 0.6},
        {"steps": 3},
        {"guidance_scale": 2.0},
        {"window": 0.5},
    ],
)
def test_other_settings_are_another_shape(arguments: dict[str, Any]) -> None:
    assert shape_of(asked()) is not None
    assert shape_of(asked(**arguments)) not in (None, shape_of(asked()))


@pytest.mark.parametrize(
    "request_",
    [
        asked([(0, "deep"), (0.2, "bell")]),
        asked(["deep", "bell"], duration=[0.2, 0.3]),
        asked(guidance_scale=[(1.0, 2.0), (10.0, 3.0)]),
        asked(sampler="k-diffusion:dpm-adaptive"),
        SoundRequest(method="generate", arguments={"prompt": "a"}, stream=True),
        SoundRequest(method="generate", arguments={"prompt": "a"}, preview_every=1),
        SoundRequest(method="generate", arguments={"prompt": "a"}, sounds={"init_audio": "x"}),
        SoundRequest(method="reconstruct", sounds={"audio": "x"}),
    ],
)
def test_some_are_made_alone(request_: SoundRequest) -> None:
    assert shape_of(request_) is None


def test_prompts_negatives_and_seeds_are_joined() -> None:
    requests = [
        asked("kick", seed=5),
        asked(["bell", "drum"], seed=[1, 9], negative_prompt=["soft", None]),
        asked([("deep", 0.5), ("bass", 0.5)], seed=2, negative_prompt="long"),
        asked([[("deep", 1.0), ("kick", 1.0)], "warm"], seed=3),
    ]
    mixture, other = [("deep", 0.5), ("bass", 0.5)], [("deep", 1.0), ("kick", 1.0)]
    assert joined_arguments(requests) == {
        "duration": 0.5,
        "steps": 2,
        "prompt": ["kick", "bell", "drum", mixture, other, "warm"],
        "seed": [5, 1, 9, 2, 3, 4],
        "negative_prompt": [None, "soft", None, "long", None, None],
    }


@pytest.mark.slow
def test_jobs_that_wait_are_made_together(
    make_service: MakeService, tiny_model_folder: Any
) -> None:
    service = make_service(together=4, limits=Limits(steps=FOREVER))
    running = service.submit(endless(), client="a")
    until(running, Step)
    requests = [
        asked("deep kick", seed=1),
        asked(["bell", "warm bass"], seed=5, negative_prompt="soft"),
        asked("bell", seed=3, steps=3),
        asked("soft drum", seed=4),
        asked("long bass", seed=5),
    ]
    jobs = [service.submit(one, client=f"client {i}") for i, one in enumerate(requests)]
    service.cancel(running.id, client="a")
    assert all(isinstance(job.wait(), Done) for job in jobs)
    assert [_together(job) for job in jobs] == [3, 3, 1, 3, 1]
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    for i, (job, request) in enumerate(zip(jobs, requests, strict=True)):
        made = service.audio(job.id, client=f"client {i}")
        own = model.generate(**request.arguments)
        torch.testing.assert_close(made.samples, own.samples, atol=1e-4, rtol=1e-4)
        assert made.seeds == own.seeds
        for mine, tags in zip(made.tags, own.tags, strict=True):
            known = {k: v for k, v in mine["settings"].items() if v is not None}  # type: ignore[attr-defined]
            assert known == {k: v for k, v in tags["settings"].items() if v is not None}  # type: ignore[attr-defined]
            assert mine["item"] == tags["item"]
            assert mine["prompt"] == tags["prompt"]


def test_one_of_a_batch_is_cancelled_and_the_others_are_made(make_service: MakeService) -> None:
    service = make_service(together=4, limits=Limits(steps=FOREVER))
    running = service.submit(endless(seed=1), client="a")
    until(running, Step)
    one, other = (service.submit(endless(), client=client) for client in "bc")
    service.cancel(running.id, client="a")
    until(one, Step)
    assert _together(one) == 2
    service.cancel(one.id, client="b")
    until(other, Step)
    assert other.state == "running"
    service.cancel(other.id, client="c")
    assert isinstance(service.submit(asked(), client="a").wait(), Done)


def _together(job: Any) -> int:
    (found,) = [one.event.together for one in job.newer(0) if isinstance(one.event, Running)]
    return int(found)
