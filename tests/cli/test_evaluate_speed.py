import json
import re
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch

from stable_audio_open.builders.random_model import full_prompts, random_model
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.evaluation.speed import measure_stage
from stable_audio_open.evaluation.weights import module_hash
from stable_audio_open.pretrained import StableAudio

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]
TINY = Path(__file__).parents[2] / "configs" / "tiny" / "diffusion.json"
ENCODER = Path(__file__).parents[2] / "stable_audio_open" / "assets" / "tiny" / "text_encoder"
STAGES = ["text encoding", "diffusion", "decoding, whole", "decoding, chunks of 32"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "source", [["tiny"], [TINY, "--text-encoder", ENCODER]], ids=["trained", "random"]
)
def test_the_table(run: Run, source: list[object]) -> None:
    result = run("evaluate", "speed", *source, "--device", "cpu", "--steps", 2, "--repeats", 2,
                 "--window", 1, "--chunk", 32, "--chunk", 64, "--output", "speed.json")  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    found = json.loads(Path("speed.json").read_bytes())
    assert [stage["name"] for stage in found["stages"]] == STAGES
    assert found["frames"] == 44
    assert found["seconds"] == pytest.approx(44 * 1024 / 44100)
    assert found["dtype"] == "float32"
    assert found["version"] == version("stable-audio-open")
    if source == ["tiny"]:
        wanted = module_hash(StableAudio.from_pretrained("tiny", device="cpu"))
        assert found["checkpoint_hash"] == wanted
        assert f"\nweights {wanted}, stable-audio-open {found['version']}\n" in result.stdout
    else:
        assert found["checkpoint_hash"] is None
        assert "\nweights random, stable-audio-open " in result.stdout
    assert result.stdout.startswith(
        "warning: chunks of 64 latents are left out: the 44 latents of the window are one chunk, "
        "which is decoding as a whole\n"
    )
    assert result.stdout.count("left out") == 1
    for stage in found["stages"]:
        assert stage["seconds"] > 0
        assert stage["memory"] is None
        line = re.search(rf"{stage['name']} +(\S+) +(\S+) {stage['unit']} +-\n", result.stdout)
        assert line is not None
        assert line[1] == f"{stage['seconds']:.4f}"
        speed = stage["amount"] / stage["seconds"]
        assert float(line[2].replace(",", "")) == pytest.approx(speed, rel=0.01)
    own, others = result.stdout.split("Other machines: as published")
    assert "H100" not in own
    assert re.search(r"diffusion +H100, 80 GB +20 steps/s", others)


@pytest.mark.slow
def test_mistakes(refuse: Refuse) -> None:
    refuse(
        "evaluate", "speed", "tiny", "--window", 60, code=2,
        message="window must be above 0 and at most the model's 2.97 seconds, got 60.0",
    )  # fmt: skip
    autoencoder = TINY.with_name("autoencoder.json")
    refuse(
        "evaluate", "speed", autoencoder, code=2,
        message=f"{autoencoder}: is of an autoencoder alone; give the configuration of a model",
    )  # fmt: skip


def test_the_median_of_repeats_after_a_warm_up() -> None:
    calls: list[int] = []
    stage = measure_stage(
        "x", lambda: calls.append(1), device=torch.device("cpu"), repeats=3, unit="u/s", amount=2.0
    )
    assert len(calls) == 4
    assert stage.seconds is not None
    assert stage.per_second == 2 / stage.seconds
    with pytest.raises(ValueError, match="repeats must be at least 1, got 0"):
        measure_stage("x", list, device=torch.device("cpu"), repeats=0, unit="u/s", amount=1.0)


def test_random_weights_change_nobodys_chance(tiny_model_config: DiffusionModelConfig) -> None:
    state = torch.get_rng_state()
    one, other = (random_model(tiny_model_config, text_encoder=str(ENCODER)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name
    prepared = full_prompts(one.conditioner, 2)
    assert one.conditioner(prepared).cross.shape == (2, 8 + 2, 16)
