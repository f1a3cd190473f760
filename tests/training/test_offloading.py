"""Optimiser state and averaged weights in CPU memory: the same numbers as on the device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW
from torch.utils._pytree import tree_leaves

from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.trainer import CheckpointConfig
from stable_audio_open.config.training import DemoConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.training.ema import OffloadedAverage, averaged_copy, update_average
from stable_audio_open.training.parallel.offloading import OffloadedAdamW

Change = Callable[..., Any]
SETTINGS: dict[str, Any] = {"lr": 1e-2, "betas": (0.9, 0.99), "weight_decay": 0.1}


def network(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 7), nn.SiLU(), nn.Linear(7, 3), nn.Linear(3, 2))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    """In every third step the last layer has no gradient."""
    for step in steps:
        optimizer.zero_grad()
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(step))
        layers = list(model.children())[: 3 if step % 3 == 0 else 4]
        nn.Sequential(*layers)(x).square().mean().backward()
        optimizer.step()


def differing(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    assert found.keys() == expected.keys()
    return [key for key in found if not torch.equal(found[key], expected[key])]


def test_steps_are_those_of_adamw_to_the_last_bit() -> None:
    ours, theirs = network(), network()
    train(ours, OffloadedAdamW(ours.parameters(), **SETTINGS), range(10))
    train(theirs, AdamW(theirs.parameters(), **SETTINGS), range(10))
    assert differing(ours.state_dict(), theirs.state_dict()) == []
    assert differing(ours.state_dict(), network().state_dict()) != []


@pytest.mark.parametrize(("first", "second"), [(0, 0), (0, 1), (1, 0)])
def test_a_state_is_taken_over_to_the_last_bit(first: int, second: int) -> None:
    kinds = (OffloadedAdamW, AdamW)
    whole, halves = network(), network()
    train(whole, AdamW(whole.parameters(), **SETTINGS), range(8))
    optimizer: Any = kinds[first](halves.parameters(), **SETTINGS)
    train(halves, optimizer, range(4))
    other: Any = kinds[second](halves.parameters(), **SETTINGS)
    other.load_state_dict(optimizer.state_dict())
    train(halves, other, range(4, 8))
    assert differing(halves.state_dict(), whole.state_dict()) == []


def test_trainers_find_no_state_to_move() -> None:
    model = network()
    optimizer = OffloadedAdamW(model.parameters(), **SETTINGS)
    train(model, optimizer, range(2))
    assert not optimizer.state
    assert len(optimizer.state_dict()["state"]) == 6


def test_state_of_other_parameters_is_refused() -> None:
    other = OffloadedAdamW(nn.Linear(2, 2).parameters(), **SETTINGS)
    with pytest.raises(ValueError, match="doesn't match the size"):
        OffloadedAdamW(network().parameters(), **SETTINGS).load_state_dict(other.state_dict())


def test_an_average_takes_the_place_of_the_weights_for_a_while() -> None:
    online, trained = network(0), network(0).state_dict()
    average = OffloadedAverage(network(1), prefix="ema.")
    with average.in_place_of(online):
        assert differing(online.state_dict(), network(1).state_dict()) == []
    assert differing(online.state_dict(), trained) == []
    assert differing(average.module.state_dict(), network(1).state_dict()) == []


def test_an_average_lies_in_a_checkpoint_where_a_module_would() -> None:
    average = OffloadedAverage(network(1), prefix="ema.")
    checkpoint: dict[str, Any] = {"state_dict": network(2).state_dict()}
    average.save(checkpoint)
    again = OffloadedAverage(network(0), prefix="ema.")
    again.load(checkpoint)
    assert differing(again.module.state_dict(), network(1).state_dict()) == []
    assert differing(checkpoint["state_dict"], network(2).state_dict()) == []
    with pytest.raises(RuntimeError, match="Missing key"):
        again.load(checkpoint)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_weights_on_a_gpu_follow_those_on_the_cpu() -> None:
    here, there = network(), network().cuda()
    average, offloaded = averaged_copy(here), OffloadedAverage(there, prefix="ema.")
    optimizer = OffloadedAdamW(there.parameters(), **SETTINGS)
    reference = AdamW(here.parameters(), **SETTINGS)
    for step in range(5):
        x = torch.randn(4, 5, generator=torch.Generator().manual_seed(step))
        for model, own in ((here, reference), (there, optimizer)):
            own.zero_grad()
            model(x.to(next(model.parameters()).device)).square().mean().backward()
            own.step()
        update_average(average, here, decay=0.9)
        update_average(offloaded.module, there, decay=0.9)
    state = tree_leaves(optimizer.state_dict()["state"])
    assert {tensor.device.type for tensor in state} == {"cpu"}
    found = {key: value.cpu() for key, value in there.state_dict().items()}
    torch.testing.assert_close(found, dict(here.state_dict()))
    torch.testing.assert_close(dict(offloaded.module.state_dict()), dict(average.state_dict()))


def offloaded(config: Any, **changes: Any) -> Any:
    training = config.training
    training = msgspec.structs.replace(
        training,
        optimizer=msgspec.structs.replace(training.optimizer, offload=True),
        ema=msgspec.structs.replace(training.ema, offload=True),
        **changes,
    )
    return msgspec.structs.replace(config, training=training)


def read(checkpoint: Path) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    return content


def same(one: Path, other: Path) -> None:
    """The same weights, averages and running means."""
    found, expected = read(one), read(other)
    assert differing(found["state_dict"], expected["state_dict"]) == []
    for mine, theirs in zip(found["optimizer_states"], expected["optimizer_states"], strict=True):
        assert mine["state"].keys() == theirs["state"].keys()
        for index, state in mine["state"].items():
            assert differing(state, theirs["state"][index]) == []


@pytest.fixture(scope="module")
def whole(diffusion_run: DiffusionModelConfig, change: Change) -> Path:
    return run_training(change(diffusion_run, name="on_device"))


def test_a_diffusion_run_ends_with_the_same_checkpoint(
    diffusion_run: DiffusionModelConfig, change: Change, whole: Path
) -> None:
    same(run_training(change(offloaded(diffusion_run), name="offloaded")), whole)


@pytest.mark.parametrize("first", [True, False])
def test_a_run_can_switch_when_it_is_resumed(
    diffusion_run: DiffusionModelConfig, change: Change, whole: Path, first: bool
) -> None:
    settings = {"name": f"switched_{first}", "checkpoint": CheckpointConfig(every=2)}
    configs = (offloaded(diffusion_run), diffusion_run)
    run_training(change(configs[not first], max_steps=2, **settings))
    same(run_training(change(configs[first], max_steps=4, **settings)), whole)


@pytest.mark.slow
def test_demos_are_of_the_average_and_leave_the_weights(
    diffusion_run: DiffusionModelConfig, change: Change, whole: Path
) -> None:
    demo = DemoConfig(
        every=2,
        steps=2,
        count=1,
        conditions=({"prompt": "deep drum", "seconds_start": 0, "seconds_total": 1},),
        guidance_scales=(4.0,),
    )
    with_demo = msgspec.structs.replace(
        diffusion_run, training=msgspec.structs.replace(diffusion_run.training, demo=demo)
    )
    here = run_training(change(with_demo, name="demos_on_device"))
    there = run_training(change(offloaded(with_demo), name="demos_offloaded"))
    same(there, whole)
    sounds = [sorted((path.parents[1] / "demos").rglob("*.wav")) for path in (here, there)]
    assert len(sounds[0]) == len(sounds[1]) == 2
    for mine, theirs in zip(*sounds, strict=True):
        assert mine.read_bytes() == theirs.read_bytes()


@pytest.mark.slow
def test_an_adversarial_run_ends_with_the_same_checkpoint(
    adversarial_run: AutoencoderModelConfig, change: Change
) -> None:
    here = run_training(change(adversarial_run, name="adversarial_on_device"))
    settings = {"name": "adversarial_offloaded"}
    run_training(change(offloaded(adversarial_run), max_steps=2, **settings))
    there = run_training(change(offloaded(adversarial_run), **settings))
    same(there, here)


@pytest.mark.slow
def test_offloaded_tensors_are_none_of_the_modules(
    diffusion_run: DiffusionModelConfig,
) -> None:
    from stable_audio_open.builders.initial import initial_model
    from stable_audio_open.builders.training import diffusion_task

    config = offloaded(diffusion_run)
    task = diffusion_task(config, config.training, initial_model(config, config.training))
    names: dict[str, Tensor] = task.state_dict()
    assert not [name for name in names if name.startswith("ema.")]
