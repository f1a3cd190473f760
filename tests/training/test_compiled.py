"""Gradients of everything that training compiles, against eager ones and float64."""

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jaxtyping
import msgspec
import pytest
import torch
from torch import Tensor, nn

from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.builders.training import autoencoder_task, diffusion_task, new_autoencoder
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.post_training import PostTrainingConfig
from stable_audio_open.config.training import LoraConfig
from stable_audio_open.losses.stereo_spectral import StereoSpectralLoss
from stable_audio_open.training.randomness import BatchRandomness
from stable_audio_open.training.tasks.adversarial import AdversarialTraining
from stable_audio_open.training.tasks.autoencoder import freeze_encoder
from stable_audio_open.training.tasks.learnt import LearntBatch, prepare_conditions
from tests.needs import compiling, needs_compiler

Task = Any
Loss = Callable[[Task, torch.dtype], Tensor]

pytestmark = compiling

CASES = {
    "autoencoder": [pytest.mark.slow],
    "decoder": [pytest.mark.slow],
    "against": [pytest.mark.slow],
    "discriminators": [pytest.mark.slow],
    "dit plain": (),
    "dit selective": (),
    "dit full": (),
    "dit lora": (),
    "student": (),
    "latent discriminator": (),
}
EAGER = [
    pytest.param(case, "aot_eager", marks=[*marks, pytest.mark.numerical])
    for case, marks in CASES.items()
]
# It takes long: every network once. What it generates does not follow PyTorch's choice of kernels.
INDUCTOR = [
    pytest.param(case, "inductor", marks=[pytest.mark.slow, needs_compiler])
    for case in ("against", "discriminators", "dit full")
]
FRAMES = 12


@pytest.fixture(autouse=True)
def compiler() -> Iterator[None]:
    """As users have it: without pytest's checks of shapes, which cannot be compiled; and fresh."""
    torch._dynamo.reset()
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
    torch._dynamo.reset()


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Case(NamedTuple):
    """A task, the loss that is followed, and what is trained and compiled."""

    task: Task
    loss: Loss
    trained: nn.Module
    compiled: set[str]


def silent(task: Task) -> Task:
    task.log = task.log_dict = lambda *_, **__: None
    return task


def audio_loss(name: str) -> Loss:
    def loss(task: Task, dtype: torch.dtype) -> Tensor:
        audio = 0.1 * normal(2, 2, 4096, seed=1).to(dtype)
        taken = getattr(task, name)(audio, 0)
        return taken if isinstance(taken, Tensor) else taken.loss

    return loss


def reconstruction_loss(task: Task, dtype: torch.dtype) -> Tensor:
    loss: Tensor = task.reconstruct(0.1 * normal(2, 2, 4096, seed=1).to(dtype), 0).loss
    return loss


def diffusion_loss(task: Task, dtype: torch.dtype) -> Tensor:
    task.timesteps = None
    batch = {
        "latents": normal(4, 8, FRAMES).to(dtype),
        "prompt": ["deep kick drum", "soft bell"] * 2,
        "seconds_start": torch.arange(4).double(),
        "seconds_total": torch.full((4,), 20.0).double(),
    }
    loss: Tensor = task.training_step(batch, 0)
    return loss


def post_training_loss(name: str) -> Loss:
    def loss(task: Task, dtype: torch.dtype) -> Tensor:
        prepared = prepare_conditions(
            task.model.conditioner,
            {
                "prompt": ["deep kick drum", "soft bell", "bell", "kick"],
                "seconds_start": torch.arange(4).double(),
                "seconds_total": torch.full((4,), 20.0).double(),
            },
        )
        t = torch.tensor([0.9, 0.7, 0.4, 0.2], dtype=dtype)
        random = BatchRandomness(seed=0, step=0, batch=0, items=4)
        learnt = LearntBatch(normal(4, 8, FRAMES).to(dtype), prepared, t, random)
        found: Tensor = getattr(task, name)(learnt)
        return found

    return loss


@pytest.fixture
def case(
    request: pytest.FixtureRequest,
    autoencoder_run: AutoencoderModelConfig,
    adversarial_run: AutoencoderModelConfig,
    diffusion_run: DiffusionModelConfig,
    tiny_text_encoder: TextEncoder,
    randomise: Callable[..., None],
) -> Case:
    codec = {"model.encoder", "model.decoder"}
    name: str = request.param
    if name in ("student", "latent discriminator"):
        return post_training_case(name, diffusion_run, tiny_text_encoder, randomise)
    if name.startswith("dit"):
        return dit_case(name.split()[1], diffusion_run, tiny_text_encoder, randomise)
    run = shallow(autoencoder_run if name == "autoencoder" else adversarial_run)
    training = run.training
    assert training is not None
    loss = msgspec.structs.replace(training.loss, mel=0.1, waveform=1.0, kl=0.1)
    training = msgspec.structs.replace(training, loss=loss, ema=None)
    model = new_autoencoder(run, training)
    if name == "decoder":
        freeze_encoder(model)
    task = silent(autoencoder_task(run, training, model))
    if not isinstance(task, AdversarialTraining):
        return Case(task, reconstruction_loss, task.model, codec)
    compiled = codec | {"discriminator"}
    if name == "discriminators":
        return Case(task, audio_loss("discriminator_loss"), task.discriminator, compiled)
    return Case(task, audio_loss("autoencoder_loss"), task.model, compiled)


def shallow(run: AutoencoderModelConfig) -> AutoencoderModelConfig:
    """A level for each side, and one discriminator: every kind of layer, compiled once."""
    level = msgspec.structs.replace(run.autoencoder.encoder, multipliers=(2,), strides=(8,))
    both = msgspec.structs.replace(run.autoencoder, encoder=level, decoder=level)
    training = run.training
    assert training is not None
    if training.adversarial is not None:
        adversarial = msgspec.structs.replace(training.adversarial, fft_sizes=(512,))
        training = msgspec.structs.replace(training, adversarial=adversarial)
    return msgspec.structs.replace(run, autoencoder=both, training=training)


def dit_case(
    mode: str,
    run: DiffusionModelConfig,
    text_encoder: TextEncoder,
    randomise: Callable[..., None],
) -> Case:
    training = run.training
    assert training is not None
    checkpointing: Any = mode if mode in ("selective", "full") else "none"
    training = msgspec.structs.replace(
        training, activation_checkpointing=checkpointing, ema=None, latents="means"
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build_model(run, text_encoder=text_encoder)
    if mode == "lora":
        training = msgspec.structs.replace(training, lora=LoraConfig(rank=2), initialize="given")
    task = silent(diffusion_task(run, training, model))
    randomise(task.model.transformer)
    return Case(task.float(), diffusion_loss, task.model.transformer, {"model.transformer"})


def post_training_case(
    name: str,
    run: DiffusionModelConfig,
    text_encoder: TextEncoder,
    randomise: Callable[..., None],
) -> Case:
    training = run.training
    assert training is not None
    optimizer, schedule = training.optimizer, training.schedule
    training = msgspec.structs.replace(
        training,
        activation_checkpointing="full",
        ema=None,
        latents="means",
        guidance_dropout=0.0,
        initialize="given",
        adversarial=PostTrainingConfig(optimizer=optimizer, schedule=schedule, channels=8),
    )
    run = msgspec.structs.replace(run, objective="rf_denoiser", training=training)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = build_model(run, text_encoder=text_encoder)
    randomise(model.transformer)
    task = silent(diffusion_task(run, training, model)).float()
    compiled = {"model.transformer", "discriminator"}
    if name == "student":
        task.discriminator.requires_grad_(False)  # as in its turns
        return Case(task, post_training_loss("student_loss"), task.model.transformer, compiled)
    return Case(task, post_training_loss("discriminator_loss"), task.discriminator, compiled)


def gradients(case: Case, dtype: torch.dtype, *, backend: str | None = None) -> dict[str, Tensor]:
    """Of the parameters that are trained, by name."""
    task = copy.deepcopy(case.task).to(dtype)
    silent(task)
    trained = dict(task.named_parameters())
    names = {id(p): name for name, p in case.task.named_parameters()}
    wanted = [names[id(p)] for p in case.trained.parameters() if p.requires_grad]
    if backend is not None:
        task.compile_networks(backend=backend)
        found = {name for name, part in task.named_modules() if part._compiled_call_impl}
        assert found == case.compiled
    case.loss(task, dtype).backward()
    return {name: trained[name].grad for name in wanted}


def distance(found: Tensor, exact: Tensor) -> float:
    """Relative to the norm of what is exact."""
    return float((found.double() - exact).norm() / exact.norm())


def flat(gradients: dict[str, Tensor]) -> Tensor:
    return torch.cat([gradient.double().flatten() for gradient in gradients.values()])


@pytest.mark.slow
@pytest.mark.parametrize(("case", "backend"), EAGER + INDUCTOR, indirect=["case"])
def test_compiled_gradients_are_the_eager_and_the_exact_ones(case: Case, backend: str) -> None:
    exact = gradients(case, torch.float64)
    eager = gradients(case, torch.float32)
    compiled = gradients(case, torch.float32, backend=backend)
    assert exact.keys() == eager.keys() == compiled.keys() != set()
    with_gradient = {name for name, gradient in exact.items() if gradient.any()}
    # The hinge loss asks of a discriminator's biases as much up as down.
    assert {name for name in exact if not name.endswith("bias")} <= with_gradient
    for found in (eager, compiled):
        assert distance(flat(found), flat(exact)) < 3e-3
        for name in with_gradient:  # sums over a whole weight cancel
            assert distance(found[name], exact[name]) < 0.03, name


@pytest.mark.slow
@pytest.mark.numerical
@pytest.mark.parametrize("case", CASES, indirect=True)
def test_compiled_gradients_under_autocast_point_the_exact_way(case: Case) -> None:
    exact = flat(gradients(case, torch.float64))
    for compiled in (None, "aot_eager"):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = flat(gradients(case, torch.float32, backend=compiled))
        assert float(torch.cosine_similarity(found, exact, dim=0)) > 0.85
        assert float(found.norm() / exact.norm()) == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize(
    "backend",
    ["aot_eager", pytest.param("inductor", marks=[pytest.mark.slow, needs_compiler])],
)
def test_the_compiled_loss_has_the_exact_gradient(backend: str) -> None:
    loss = StereoSpectralLoss(sample_rate=16000, fft_sizes=(64,), mel=True)
    target = 0.1 * normal(2, 2, 2048).double()
    found = []
    for function in (loss.double(), torch.compile(loss.double(), backend=backend)):
        decoded = (0.1 * normal(2, 2, 2048, seed=1).double()).requires_grad_()
        sum(function(decoded, target)).backward()
        assert decoded.grad is not None
        found.append(decoded.grad)
    assert found[0].any()
    torch.testing.assert_close(found[1], found[0])
