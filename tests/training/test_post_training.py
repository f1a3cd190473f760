"""Adversarial post-training of a flow: its losses, its turns, and runs of it."""

import csv
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from torch import Tensor, nn

from stable_audio_open.builders.data import diffusion_data
from stable_audio_open.builders.initial import initial_model
from stable_audio_open.builders.run import training_run
from stable_audio_open.builders.training import diffusion_task
from stable_audio_open.config.model import DiffusionModelConfig
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig
from stable_audio_open.config.post_training import PostTrainingConfig, WarmUpConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.training.post_training.prompt_pairs import other_prompts
from stable_audio_open.training.post_training.task import AdversarialPostTraining
from stable_audio_open.training.randomness import BatchRandomness
from stable_audio_open.training.tasks.learnt import LearntBatch, prepare_conditions

pytestmark = pytest.mark.numerical

Change = Callable[..., Any]
OPTIMIZER = AdamWConfig(lr=2e-3, betas=(0.0, 0.99), weight_decay=1e-3)
SCHEDULE = InverseLRConfig(inv_gamma=1000, power=0.5, warmup=0.5)
ADVERSARIAL = PostTrainingConfig(
    optimizer=OPTIMIZER,
    schedule=SCHEDULE,
    warm_up=WarmUpConfig(steps=2, teacher_steps=3, guidance_scale=2.0),
    channels=8,
)


@pytest.fixture(scope="module")
def teacher(diffusion_run: DiffusionModelConfig, change: Change) -> Path:
    flow = msgspec.structs.replace(diffusion_run, objective="rectified_flow")
    return run_training(change(flow, name="teacher", max_steps=2))


@pytest.fixture(scope="module")
def config(diffusion_run: DiffusionModelConfig, teacher: Path, change: Change) -> Any:
    """Two steps of warm-up, then student, discriminator, student."""
    training = msgspec.structs.replace(
        diffusion_run.training,
        autoencoder=None,
        initialize=str(teacher),
        guidance_dropout=0.0,
        timesteps="log_snr",
        adversarial=ADVERSARIAL,
        activation_checkpointing="none",
    )
    student = msgspec.structs.replace(
        diffusion_run, objective="rf_denoiser", training=training, name="student"
    )
    return change(student, name="student", max_steps=5, gradient_clip=100.0)


@pytest.fixture(scope="module")
def last(config: DiffusionModelConfig) -> Path:
    return run_training(config)


def with_training(config: DiffusionModelConfig, **changes: Any) -> Any:
    assert config.training is not None
    return msgspec.structs.replace(
        config, training=msgspec.structs.replace(config.training, **changes)
    )


def task_of(config: DiffusionModelConfig) -> AdversarialPostTraining:
    assert config.training is not None
    task = diffusion_task(config, config.training, initial_model(config, config.training))
    assert isinstance(task, AdversarialPostTraining)
    return task


class Given:
    """A batch, and the arguments of the losses that go with it."""

    def __init__(self, task: AdversarialPostTraining, dtype: torch.dtype = torch.float32) -> None:
        generator = torch.Generator().manual_seed(3)
        self.latents = torch.randn(4, 8, 24, generator=generator).to(dtype)
        self.prepared = prepare_conditions(
            task.model.conditioner,
            {
                "prompt": ["deep kick", "soft bell", "warm bass", "deep kick"],
                "seconds_start": torch.zeros(4),
                "seconds_total": torch.full((4,), 9.0),
            },
        )
        self.t = torch.tensor([0.95, 0.6, 0.3, 0.8], dtype=dtype)

    def loss(self, task: AdversarialPostTraining, name: str) -> Tensor:
        random = BatchRandomness(seed=1, step=2, batch=3, items=4)
        found: Tensor = getattr(task, name)(
            LearntBatch(self.latents, self.prepared, self.t, random)
        )
        return found


def with_gradient(module: nn.Module) -> set[str]:
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.any()}


# Who learns from what.


@pytest.mark.parametrize("name", ["student_loss", "warm_up_loss"])
def test_the_student_alone_learns_from_its_losses(config: DiffusionModelConfig, name: str) -> None:
    task = task_of(config)
    task.discriminator.requires_grad_(False)  # as in the student's turns
    Given(task).loss(task, name).backward()
    student = task.model.transformer
    assert with_gradient(student) == {name for name, _ in student.named_parameters()}
    assert with_gradient(task) == {f"model.transformer.{name}" for name in with_gradient(student)}


@pytest.mark.slow
def test_in_the_students_turns_the_discriminator_is_frozen(
    config: DiffusionModelConfig, change: Change, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[set[str], int]] = []

    def note(task: AdversarialPostTraining, optimizer: Any) -> None:
        found.append(
            (
                {name.split(".")[0] for name in with_gradient(task)},
                sum(p.requires_grad for p in task.discriminator.parameters()),
            )
        )

    monkeypatch.setattr(AdversarialPostTraining, "on_before_optimizer_step", note)
    run_training(change(config, name="frozen", max_steps=4))
    trained = len(list(task_of(config).discriminator.parameters()))
    # Gradients stay until the next turn of their side.
    both = {"model", "discriminator"}
    assert found == [({"model"}, 0)] * 3 + [(both, trained)]


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["selective", "full"])
@pytest.mark.parametrize("name", ["student_loss", "discriminator_loss", "warm_up_loss"])
def test_what_is_computed_again_gives_the_same_gradients(
    config: DiffusionModelConfig, mode: str, name: str
) -> None:
    gradients = []
    for checkpointing in ("none", mode):
        task = task_of(with_training(config, activation_checkpointing=checkpointing))
        task.discriminator.requires_grad_(name == "discriminator_loss")
        Given(task).loss(task, name).backward()
        gradients.append({n: p.grad for n, p in task.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys() != set()
    for key, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], gradient)


def test_the_discriminator_alone_learns_from_its_loss(config: DiffusionModelConfig) -> None:
    task = task_of(config)
    Given(task).loss(task, "discriminator_loss").backward()
    own = {f"discriminator.{name}" for name, _ in task.discriminator.named_parameters()}
    assert with_gradient(task) == own


def test_conditioner_and_autoencoder_are_frozen(config: DiffusionModelConfig) -> None:
    task = task_of(config)
    for part in (task.model.conditioner, task.model.autoencoder, task.teacher):
        assert part is not None
        assert not any(p.requires_grad for p in part.parameters())
    assert not task.model.conditioner.training


# The losses as a whole.


@pytest.mark.parametrize(
    ("loss", "part", "weights"),
    [
        ("student_loss", "model.transformer", ("input_projection", "blocks.1.feedforward.output")),
        ("warm_up_loss", "model.transformer", ("output_projection", "time_embedding.0")),
        ("discriminator_loss", "discriminator", ("heads.0.convolution", "backbone.blocks.1")),
    ],
)
def test_gradients_are_those_of_finite_differences(
    config: DiffusionModelConfig, loss: str, part: str, weights: tuple[str, ...]
) -> None:
    task = task_of(config).double()
    given = Given(task, torch.float64)
    given.loss(task, loss).backward()
    module = task.get_submodule(part)
    chosen = [(n, p) for n, p in module.named_parameters() if n.startswith(weights) and p.dim() > 1]
    assert chosen
    generator = torch.Generator().manual_seed(0)
    for name, parameter in chosen:
        assert parameter.grad is not None
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        ends = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                parameter += step * direction
                ends.append(float(given.loss(task, loss)))
                parameter -= step * direction
        slope = float((parameter.grad * direction).sum())
        assert (ends[0] - ends[1]) / 2e-5 == pytest.approx(slope, rel=1e-4, abs=1e-9), name


@pytest.mark.parametrize(
    ("loss", "part"),
    [
        ("student_loss", "model.transformer"),
        ("warm_up_loss", "model.transformer"),
        ("discriminator_loss", "discriminator"),
    ],
)
def test_each_loss_falls_by_a_step_along_its_gradient(
    config: DiffusionModelConfig, loss: str, part: str
) -> None:
    task = task_of(config)
    given = Given(task)
    before = given.loss(task, loss)
    before.backward()
    with torch.no_grad():
        for parameter in task.get_submodule(part).parameters():
            if parameter.grad is not None:
                parameter -= 1e-2 * parameter.grad
    assert float(given.loss(task, loss).detach()) < float(before.detach())


def test_the_losses_by_hand(config: DiffusionModelConfig) -> None:
    """Written down independently, item by item."""
    task = task_of(
        with_training(
            config,
            adversarial=msgspec.structs.replace(
                ADVERSARIAL, contrastive=0.7, noise_mean=0.4, noise_std=1.3
            ),
        )
    ).double()
    given = Given(task, torch.float64)
    random = BatchRandomness(seed=1, step=2, batch=3, items=4)
    noise, fresh = (random.normal(8, 24).double() for _ in range(2))
    level = torch.sigmoid(0.4 + 1.3 * random.normal()).double()
    moved = 1 + random.seed % 3
    words = ["deep kick", "soft bell", "warm bass", "deep kick"]
    costs: dict[str, list[Tensor]] = {"student": [], "discriminator": [], "contrast": []}
    for index in range(4):

        def told(prompt: str) -> Any:
            numbers = {"seconds_start": 0.0, "seconds_total": 9.0}
            return task.model.conditioner(
                task.model.conditioner.prepare([{"prompt": prompt, **numbers}])
            )

        own, other = told(words[index]), told(words[(index - moved) % 4])
        one = slice(index, index + 1)
        t, s = given.t[one], level[one]
        x_t = (1 - t) * given.latents[one] + t * noise[one]
        with torch.no_grad():
            clean = x_t - t * task.model.transformer(x_t, t, own)
            score = task.discriminator
            real = (1 - s) * given.latents[one] + s * fresh[one]
            d_real = score(real, s, own)
            d_generated = score((1 - s) * clean + s * fresh[one], s, own)
            d_wrong = score(real, s, other)
        costs["student"].append(torch.log1p(torch.exp(d_real - d_generated)))
        costs["discriminator"].append(torch.log1p(torch.exp(d_generated - d_real)))
        if words[index] != words[(index - moved) % 4]:
            costs["contrast"].append(torch.log1p(torch.exp(d_wrong - d_real)))
    means = {name: torch.stack(cost).mean() for name, cost in costs.items()}
    torch.testing.assert_close(given.loss(task, "student_loss").detach(), means["student"])
    torch.testing.assert_close(
        given.loss(task, "discriminator_loss").detach(),
        means["discriminator"] + 0.7 * means["contrast"],
    )


def test_the_warm_up_leads_to_the_guided_teachers_end(config: DiffusionModelConfig) -> None:
    """A student that is the teacher, guided alike, in one step of Euler's method loses nothing."""
    one_step = WarmUpConfig(steps=2, teacher_steps=1, guidance_scale=1.0)
    adversarial = msgspec.structs.replace(ADVERSARIAL, warm_up=one_step)
    task = task_of(with_training(config, adversarial=adversarial))
    given = Given(task)
    assert float(given.loss(task, "warm_up_loss").detach()) == pytest.approx(0, abs=1e-9)
    more = msgspec.structs.replace(one_step, teacher_steps=4)
    guided = msgspec.structs.replace(one_step, guidance_scale=3.0)
    for warm_up in (more, guided):
        adversarial = msgspec.structs.replace(ADVERSARIAL, warm_up=warm_up)
        task = task_of(with_training(config, adversarial=adversarial))
        assert float(given.loss(task, "warm_up_loss").detach()) > 1e-6


def test_every_item_gets_the_prompt_of_another(config: DiffusionModelConfig) -> None:
    task = task_of(config)
    prepared = Given(task).prepared
    for seed in range(6):
        random = BatchRandomness(seed=seed, step=0, batch=0, items=4)
        others, counted = other_prompts(prepared, random)
        ids, own = others.texts["prompt"].ids, prepared.texts["prompt"].ids
        assert sorted(ids.tolist()) == sorted(own.tolist())
        assert (ids != own).any(dim=1).tolist() == counted.tolist()
        assert others.numbers is prepared.numbers
        # The first and the last are the same words: with a shift of 3 or 1 one of them meets the
        # other.
        assert int(counted.sum()) in (3, 4)


# Runs.


def state(checkpoint: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return found


def changed(before: Path, after: Path, prefix: str) -> bool:
    first, second = state(before), state(after)
    keys = [key for key in first if key.startswith(prefix)]
    assert keys
    return any(not torch.equal(first[key], second[key]) for key in keys)


@pytest.mark.slow
def test_sides_take_turns_after_the_warm_up(last: Path) -> None:
    steps = [last.with_name(f"0000000{n}.ckpt") for n in (2, 3, 4, 5)]
    sides = [
        (changed(a, b, "model.transformer."), changed(a, b, "discriminator."))
        for a, b in itertools.pairwise(steps)
    ]
    assert sides == [(True, False), (False, True), (True, False)]
    assert not changed(steps[0], steps[-1], "model.conditioner.")
    assert not changed(steps[0], steps[-1], "model.autoencoder.")


def test_the_log_names_the_losses(last: Path) -> None:
    with (last.parent.parent / "logs" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    losses = [row for row in rows if row["train/loss"]]
    of = {
        name: {row["train/loss"] == row[f"train/loss/{name}"] for row in losses[first::step]}
        for name, first, step in (("warm_up", 0, 9), ("adversarial", 2, 2), ("discriminator", 3, 9))
    }
    assert of == {"warm_up": {True}, "adversarial": {True}, "discriminator": {True}}


def test_the_average_counts_the_steps_of_the_student(last: Path) -> None:
    """At the third step of the student its decay is that of update 3, min(0.6, 1 - 4^-0.75)."""
    before, after = (state(last.with_name(f"0000000{n}.ckpt")) for n in (2, 3))
    for name in (key for key in before if key.startswith("ema.")):
        online = after[f"model.transformer.{name.removeprefix('ema.')}"]
        if online.is_floating_point():
            expected = before[name] + 0.4 * (online - before[name])
            torch.testing.assert_close(after[name], expected)


def test_checkpoints_hold_no_teacher_and_load_as_a_model_of_few_steps(last: Path) -> None:
    assert not any(key.startswith("teacher.") for key in state(last))
    model = StableAudio.from_pretrained(last, device="cpu")
    assert model.objective == "rf_denoiser"
    audio = model.generate("deep drum", seed=1)
    assert audio.samples.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_resumed_run_ends_where_the_whole_run_does(
    config: DiffusionModelConfig, change: Change, last: Path, stop: int
) -> None:
    name = f"stopped at {stop}"
    run_training(change(config, name=name, max_steps=stop))
    resumed = run_training(change(config, name=name))
    first, second = state(last), state(resumed)
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


@pytest.mark.slow
def test_another_teacher_is_refused_within_the_warm_up(
    config: DiffusionModelConfig, teacher: Path, change: Change
) -> None:
    other = str(teacher.with_name("00000001.ckpt"))
    for stop, refused in ((1, True), (3, False)):
        name = f"another teacher at {stop}"
        run_training(change(config, name=name, max_steps=stop))
        again = change(with_training(config, initialize=other), name=name)
        if refused:
            with pytest.raises(ValueError, match=r"teacher was another than training\.initialize"):
                run_training(again)
        else:
            run_training(again)


def test_without_a_warm_up_there_is_no_teacher(
    config: DiffusionModelConfig, change: Change
) -> None:
    adversarial = msgspec.structs.replace(ADVERSARIAL, warm_up=None, contrastive=0.0)
    alone = change(
        with_training(config, adversarial=adversarial, batch_size=1), name="alone", max_steps=2
    )
    assert task_of(alone).teacher is None
    found = run_training(alone)
    assert changed(found.with_name("00000001.ckpt"), found, "discriminator.")


@pytest.mark.slow
def test_inpainting_channels_are_trained_on(config: DiffusionModelConfig, change: Change) -> None:
    from stable_audio_open.config.training import InpaintingConfig

    transformer = msgspec.structs.replace(config.transformer, inpainting=True)
    training = msgspec.structs.replace(
        config.training, inpainting=InpaintingConfig(whole=0.0, segments=0.5)
    )
    wide = msgspec.structs.replace(config, transformer=transformer, training=training)
    task = task_of(wide)
    assert task.discriminator.backbone.known_channels == 9
    found = run_training(change(wide, name="inpainting"))
    wider = state(found)["model.transformer.input_projection.weight"][:, 8:]
    assert wider.any()


# What is refused.


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"initialize": None}, "trains a flow on; give its checkpoint, the teacher, as `initial"),
        ({"guidance_dropout": 0.1}, "is 0.1, for a guidance that students of `adversarial` do wi"),
        ({"batch_size": 1}, "compares the prompts of a batch, and `batch_size` is 1; give 2 or"),
    ],
)
def test_what_does_not_go_together_is_told(
    config: DiffusionModelConfig, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        with_training(config, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"strategy": "fsdp", "devices": 2},
            "is `fsdp`, which has one optimiser; with `adversarial` it must be",
        ),
        ({"accumulate": 2}, "is 2, and with `adversarial` two optimisers take a batch each in"),
    ],
)
def test_trainers_of_one_optimiser_are_refused(
    config: DiffusionModelConfig, change: Change, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        change(config, **changes)


def test_only_flows_are_trained_so(config: DiffusionModelConfig) -> None:
    with pytest.raises(ValueError, match="few steps, but `objective` is `rectified_flow`; set"):
        msgspec.structs.replace(config, objective="rectified_flow")
    with pytest.raises(ValueError, match=r"blocks` 3 must be at most `transformer\.depth` 2"):
        with_training(config, adversarial=msgspec.structs.replace(ADVERSARIAL, blocks=3))


def test_a_v_model_is_no_teacher(
    config: DiffusionModelConfig, diffusion_run: DiffusionModelConfig, change: Change
) -> None:
    v = run_training(change(diffusion_run, name="v", max_steps=1))
    with pytest.raises(
        ValueError, match=r"`training\.adversarial` trains a rectified flow on, and"
    ):
        run_training(change(with_training(config, initialize=str(v)), name="of v"))


@pytest.mark.slow
def test_batches_have_the_prompts_of_their_recordings(config: DiffusionModelConfig) -> None:
    """A batch of the run's own data, of the last one of an epoch too, gives finite losses."""
    task = task_of(config)
    task.log = lambda *_, **__: None  # type: ignore[method-assign]
    for index, batch in enumerate(
        diffusion_data(training_run(config), task.model.autoencoder).train_dataloader()
    ):
        assert task.discriminator_loss(task.learnt(batch, index)).isfinite()
