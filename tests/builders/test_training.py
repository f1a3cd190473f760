import copy
import hashlib
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytorch_lightning as pl
import torch
from msgspec.structs import replace
from torch.optim import AdamW

from stable_audio_open.builders import run as run_module
from stable_audio_open.builders.evaluation import (
    early_stopping,
    evaluations,
    going_by,
    load_listeners,
    measured,
)
from stable_audio_open.builders.model import TextEncoder, build_model
from stable_audio_open.builders.run import AutoencoderRun, DiffusionRun, TrainingRun, training_run
from stable_audio_open.builders.training import (
    autoencoder_task,
    demo_writer,
    diffusion_task,
    new_autoencoder,
    trainer_settings,
)
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.optimizer import AdamWConfig, InverseLRConfig
from stable_audio_open.config.post_training import PostTrainingConfig, WarmUpConfig
from stable_audio_open.data.faults import Faults
from stable_audio_open.diffusion.dit import DiffusionTransformer
from stable_audio_open.evaluation.fixed_set import fixed_set_hash
from stable_audio_open.training import trainer as trainer_module
from stable_audio_open.training.callbacks.checkpoints import Checkpoints
from stable_audio_open.training.callbacks.demos import Demo, DemoWriter
from stable_audio_open.training.callbacks.early_stopping import EarlyStopping
from stable_audio_open.training.callbacks.evaluated.evaluations import Evaluations
from stable_audio_open.training.callbacks.evaluated.generations import GenerationEvaluation
from stable_audio_open.training.callbacks.evaluated.reconstructions import ReconstructionEvaluation
from stable_audio_open.training.callbacks.faults import UnreadableRecordings
from stable_audio_open.training.callbacks.finite import SkipNonFinite
from stable_audio_open.training.callbacks.measurements import Measurements
from stable_audio_open.training.callbacks.preemption import StopOnSignal
from stable_audio_open.training.callbacks.throughput import Throughput
from stable_audio_open.training.callbacks.without_gradient import ParametersWithoutGradient
from stable_audio_open.training.ema import EmaSchedule, OffloadedAverage
from stable_audio_open.training.levels import TrainingLevel
from stable_audio_open.training.optimisation import OptimizerSettings
from stable_audio_open.training.parallel.offloading import OffloadedAdamW
from stable_audio_open.training.post_training.settings import NoiseLevels, WarmUp
from stable_audio_open.training.post_training.task import AdversarialPostTraining
from stable_audio_open.training.tasks.adversarial import AdversarialTraining
from stable_audio_open.training.tasks.diffusion import DiffusionTraining


@pytest.fixture
def autoencoder_run(autoencoder_config: AutoencoderModelConfig) -> AutoencoderRun:
    run = training_run(autoencoder_config)
    assert isinstance(run, AutoencoderRun)
    return run


@pytest.fixture
def diffusion_run(diffusion_config: DiffusionModelConfig) -> DiffusionRun:
    run = training_run(diffusion_config)
    assert isinstance(run, DiffusionRun)
    return run


@pytest.fixture
def adversarial_task(autoencoder_run: AutoencoderRun) -> AdversarialTraining:
    config, training = autoencoder_run.config, autoencoder_run.training
    task = autoencoder_task(config, training, new_autoencoder(config, training))
    assert isinstance(task, AdversarialTraining)
    return task


@pytest.fixture
def diffusion(diffusion_run: DiffusionRun, tiny_text_encoder: TextEncoder) -> DiffusionTraining:
    own = tiny_text_encoder._replace(encoder=copy.deepcopy(tiny_text_encoder.encoder))
    model = build_model(diffusion_run.config, text_encoder=own)
    return diffusion_task(diffusion_run.config, diffusion_run.training, model)


def test_autoencoder_task(adversarial_task: AdversarialTraining) -> None:
    task = adversarial_task
    assert task.seed == 31
    weights = task.weights
    assert (weights.mid_side, weights.left_right) == (1.5, 0.75)
    assert (weights.mel, weights.waveform, weights.kl) == (0.3, 0.2, 0.05)
    loss = task.loss
    assert (loss.fft_sizes, loss.reference, loss.mel) == ((256, 64), "target", True)
    assert (loss.taps, loss.convergence, loss.skip_silent_side) == (None, "batch", False)
    assert task.ema is None
    assert isinstance(task.offloaded_ema, OffloadedAverage)
    assert task.ema_schedule == EmaSchedule(decay=0.55, power=0.65)
    assert task.optimisation == OptimizerSettings(
        lr=3e-3,
        betas=(0.7, 0.95),
        weight_decay=0.02,
        inv_gamma=40,
        power=0.25,
        warmup=0.75,
        offload=True,
    )
    assert task.discriminator_optimisation == OptimizerSettings(
        lr=4e-3, betas=(0.6, 0.9), weight_decay=0.03, inv_gamma=50, power=0.35, warmup=0.65
    )
    assert task.adversarial_weights.adversarial == 0.45
    assert task.adversarial_weights.feature_matching == 3.5
    assert (task.first_step, task.gradient_clip) == (4, 0.625)
    scales: Any = task.discriminator.scales
    assert [scale.fft_size for scale in scales] == [128, 32]
    assert scales[0].layers[0].out_channels == 5
    bias: Any = task.model.encoder.get_submodule("output").bias
    assert bias[7:].tolist() == [-2.5] * 7


def test_autoencoder_optimisers(adversarial_task: AdversarialTraining) -> None:
    (own, theirs), schedules = adversarial_task.configure_optimizers()
    assert isinstance(own, OffloadedAdamW)
    assert type(theirs) is AdamW
    assert own.param_groups[0]["betas"] == (0.7, 0.95)
    assert own.param_groups[0]["weight_decay"] == 0.02
    assert theirs.param_groups[0]["betas"] == (0.6, 0.9)
    assert [schedule.base_lrs for schedule in schedules] == [[3e-3], [4e-3]]
    assert own.param_groups[0]["lr"] == pytest.approx(3e-3 * (1 - 0.75))
    assert theirs.param_groups[0]["lr"] == pytest.approx(4e-3 * (1 - 0.65))


@pytest.mark.numerical
def test_the_weighted_loss_by_hand(adversarial_task: AdversarialTraining) -> None:
    task = adversarial_task.double()
    generator = torch.Generator().manual_seed(0)
    audio = 0.1 * torch.randn(3, 2, 2048, generator=generator, dtype=torch.float64)
    found = task.reconstruct(audio, 0)
    latents, kl = task._latents(audio, 0)
    terms = task.loss(task.model.decoder(latents), audio)
    expected = (
        1.5 * (terms.mid + terms.side) / 2
        + 0.75 * (terms.left + terms.right)
        + 0.3 * terms.mel
        + 0.2 * terms.waveform
        + 0.05 * kl
    )
    assert all(term > 0 for term in (*terms, kl))
    torch.testing.assert_close(found.loss, expected)
    against = task.autoencoder_loss(audio, 0)
    logged = against.logged
    assert logged["train/loss/feature_matching"] > 0
    torch.testing.assert_close(
        against.loss,
        found.loss
        + 0.45 * logged["train/loss/adversarial"]
        + 3.5 * logged["train/loss/feature_matching"],
    )


def test_diffusion_task(diffusion: DiffusionTraining) -> None:
    task = diffusion
    assert (task.seed, task.guidance_dropout, task.log_loss_by_timestep) == (41, 0.325, True)
    assert task.draws is False  # the default is True
    assert task.offloaded_ema is None
    assert isinstance(task.ema, DiffusionTransformer)
    assert task.ema_schedule == EmaSchedule(decay=0.45, power=0.6)
    assert task.optimisation == OptimizerSettings(
        lr=5e-3, betas=(0.65, 0.85), weight_decay=0.04, inv_gamma=60, power=0.45, warmup=0.55
    )
    assert task.model.transformer.activation_checkpointing == "selective"
    trained = {name: p for name, p in task.named_parameters() if p.requires_grad}
    assert trained
    assert all(".feedforward." in name and "lora" in name for name in trained)
    matrices = {name: p for name, p in trained.items() if "lora_magnitude" not in name}
    assert len(trained) == len(matrices) * 3 / 2
    assert {min(p.shape) for p in matrices.values()} == {3}
    dropouts = [
        part
        for name, part in task.model.transformer.named_modules()
        if "lora_dropout" in name and isinstance(part, torch.nn.Dropout)
    ]
    assert {part.p for part in dropouts} == {0.35}
    assert task.header["lora"]["r"] == 3
    assert task.header["lora"]["lora_alpha"] == 7.5
    assert (task.header["lora"]["use_rslora"], task.header["lora"]["use_dora"]) == (True, True)
    scales = {
        one.scaling["default"]
        for one in task.model.transformer.modules()
        if hasattr(one, "scaling")
    }
    assert scales == {7.5 / 3**0.5}


def test_post_training_task(diffusion_run: DiffusionRun, tiny_text_encoder: TextEncoder) -> None:
    trainer = replace(diffusion_run.trainer, accumulate=1)
    training = replace(
        diffusion_run.training,
        trainer=trainer,
        lora=None,
        guidance_dropout=0.0,
        timesteps="log_snr",
        adversarial=PostTrainingConfig(
            optimizer=AdamWConfig(lr=4e-3, betas=(0.6, 0.9), weight_decay=0.03),
            schedule=InverseLRConfig(inv_gamma=50, power=0.35, warmup=0.65),
            warm_up=WarmUpConfig(steps=9, teacher_steps=7, guidance_scale=2.5),
            blocks=2,
            channels=11,
            contrastive=0.65,
            noise_mean=-0.15,
            noise_std=1.45,
        ),
    )
    config = replace(diffusion_run.config, objective="rf_denoiser", training=training)
    model = build_model(config, text_encoder=copy.deepcopy(tiny_text_encoder))
    teacher = copy.deepcopy(model.transformer.state_dict())
    task = diffusion_task(config, training, model)
    assert isinstance(task, AdversarialPostTraining)
    assert task.discriminator_optimisation == OptimizerSettings(
        lr=4e-3, betas=(0.6, 0.9), weight_decay=0.03, inv_gamma=50, power=0.35, warmup=0.65
    )
    assert task.optimisation.lr == 5e-3
    assert task.warm_up == WarmUp(steps=9, teacher_steps=7, guidance_scale=2.5)
    assert task.noise_levels == NoiseLevels(mean=-0.15, std=1.45)
    assert (task.contrastive, task.gradient_clip, task.distribution) == (0.65, 0.625, "log_snr")
    discriminator: Any = task.discriminator
    assert [head.output.in_channels for head in discriminator.heads] == [11, 11]
    assert len(discriminator.backbone.blocks) == 2
    assert task.teacher is not None
    for part, names in ((task.teacher, set(teacher)), (discriminator.backbone, None)):
        found = part.state_dict()
        assert names is None or set(found) == names
        assert all(torch.equal(found[name], teacher[name]) for name in found)
    default = replace(training.adversarial, blocks=None, warm_up=None)
    task = diffusion_task(config, replace(training, adversarial=default), model)
    assert isinstance(task, AdversarialPostTraining)
    assert len(task.discriminator.heads) == 3  # three quarters of 3, rounded up
    assert (task.teacher, task.warm_up.steps) == (None, 0)


class LearningRates(pl.Callback):
    """Notes the learning rate of every step."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        self.found.append(optimizer.param_groups[0]["lr"])


class Line(pl.LightningModule):
    """One weight, with the optimiser and the schedule of the diffusion training."""

    def __init__(self, task: DiffusionTraining) -> None:
        super().__init__()
        self.line = torch.nn.Linear(1, 1)
        self.optimisation = task.optimisation
        self.model = self.line

    configure_optimizers = DiffusionTraining.configure_optimizers

    def training_step(self, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        loss: torch.Tensor = self.line(batch).square().mean()
        return loss


def test_learning_rates_of_twenty_steps_and_two_epochs(
    diffusion: DiffusionTraining, diffusion_run: DiffusionRun
) -> None:
    run = with_trainer(diffusion_run, max_steps=20, accumulate=1, logger="csv")
    rates = LearningRates()
    trainer = trainer_module.make_trainer(
        trainer_settings(run), measurements=Measurements(run.folder, {}), callbacks=[rates]
    )
    batches = pl.LightningDataModule.from_datasets(torch.ones(10, 1))  # type: ignore[arg-type]
    trainer_module.fit(trainer, Line(diffusion), batches, start=None)
    assert trainer.current_epoch == 2
    expected = [5e-3 * (1 - 0.55 ** (n + 1)) * (1 + n / 60) ** -0.45 for n in range(20)]
    assert rates.found == pytest.approx(expected)


def with_trainer(run: DiffusionRun, **values: Any) -> DiffusionRun:
    training = replace(run.training, trainer=replace(run.trainer, **values))
    changed = training_run(replace(run.config, training=training))
    assert isinstance(changed, DiffusionRun)
    return changed


@pytest.fixture
def trainer_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `train` would start."""

    def trainer_of(run: TrainingRun, task: pl.LightningModule) -> pl.Trainer:
        started: list[pl.Trainer] = []
        monkeypatch.setattr(
            trainer_module, "fit", lambda trainer, *_, **__: started.append(trainer)
        )
        measurements = Measurements(run.folder, {})
        trainer_module.train(
            task,
            pl.LightningDataModule(),
            settings=trainer_settings(run),
            measurements=measurements,
            faults=Faults(run.folder / "unusable.csv", recordings=3, most=0.0),
            early_stopping=early_stopping(run.trainer, measurements),
            evaluations=evaluations(run, measurements, torch.device("cpu")),
            demos=demo_writer(run),
        )
        [trainer] = started
        return trainer

    return trainer_of


def only(trainer: pl.Trainer, kind: type) -> Any:
    [found] = [callback for callback in trainer.callbacks if type(callback) is kind]  # type: ignore[attr-defined]
    return found


def test_trainer(
    diffusion: DiffusionTraining, diffusion_run: DiffusionRun, trainer_of: Any
) -> None:
    checkpoint = replace(diffusion_run.trainer.checkpoint, best="evaluation/frechet")
    run = with_trainer(diffusion_run, checkpoint=checkpoint, compile=True)
    trainer = trainer_of(run, diffusion)
    assert only(trainer, StopOnSignal).compiled
    folder = diffusion_run.folder
    assert folder == Path(diffusion_run.trainer.output) / "unusual"
    assert Path(trainer.default_root_dir) == folder
    assert (trainer.max_steps, trainer.accumulate_grad_batches) == (23, 3)
    assert trainer.gradient_clip_val == 0.625
    assert trainer.precision == "bf16-mixed"
    assert trainer.log_every_n_steps == 2
    assert trainer.val_check_interval == 3 * 11
    assert type(trainer.logger).__name__ == "TensorBoardLogger"
    assert only(trainer, SkipNonFinite).most_in_row == 17
    checkpoints = only(trainer, Checkpoints)
    assert (checkpoints.every, checkpoints.keep, checkpoints.best) == (13, 5, "evaluation/frechet")
    assert checkpoints.folder == folder / "checkpoints"
    stopping = only(trainer, EarlyStopping)
    assert (stopping.metric, stopping.patience) == ("validation/loss", 19)
    assert stopping.least_change == 0.375
    throughput = only(trainer, Throughput)
    assert (throughput.seconds, throughput.every) == (0.128, 2)
    assert only(trainer, TrainingLevel).every == 2
    assert only(trainer, UnreadableRecordings).faults.recordings == 3
    assert only(trainer, ParametersWithoutGradient)
    assert only(trainer, Evaluations).folder == folder / "evaluation"
    demos = only(trainer, DemoWriter)
    assert (demos.every, demos.steps, demos.seed) == (29, 12, 41)
    assert demos.guidance_scales == [1.5, 4.5]
    kick = Demo(prompt="kick", seconds_start=0.5, seconds_total=1.5)
    bell = Demo(prompt="bell", seconds_start=0.25, seconds_total=1.25)
    assert demos.demos == [kick, bell, kick]
    assert demos.folder == folder / "demos"


def test_trainer_of_two_optimisers(
    adversarial_task: AdversarialTraining, autoencoder_run: AutoencoderRun, trainer_of: Any
) -> None:
    trainer = trainer_of(autoencoder_run, adversarial_task)
    assert only(trainer, Evaluations).every == 7
    assert trainer.gradient_clip_val is None
    assert only(trainer, Throughput).seconds == pytest.approx(512 / 8000)


@pytest.mark.parametrize(
    ("strategy", "devices", "expected"),
    [("auto", 1, "auto"), ("auto", 2, "ddp_find_unused_parameters_true"), ("ddp", 1, "ddp")],
)
def test_strategies_of_two_optimisers(
    autoencoder_run: AutoencoderRun, strategy: Any, devices: int, expected: str
) -> None:
    from dataclasses import replace as with_values

    settings = with_values(trainer_settings(autoencoder_run), strategy=strategy, devices=devices)
    assert trainer_module._strategy(settings, by_hand=True) == expected
    assert trainer_module._strategy(settings, by_hand=False) == strategy


def test_evaluation_of_reconstructions(autoencoder_run: AutoencoderRun) -> None:
    measurements = Measurements(autoencoder_run.folder, {})
    found = evaluations(autoencoder_run, measurements, torch.device("cpu"))
    assert isinstance(found, Evaluations)
    assert (found.every, found.at_start) == (7, True)
    assert found.folder == autoencoder_run.folder / "evaluation"
    assert found.measurements is measurements
    evaluation = found.evaluation
    assert isinstance(evaluation, ReconstructionEvaluation)
    fixed = evaluation.fixed
    assert [one.path.name for one in fixed.recordings] == ["1.wav", "2.wav"]
    assert (fixed.seconds, fixed.sample_rate, fixed.channels) == (0.25, 8000, 2)


def test_evaluation_of_generations(diffusion_run: DiffusionRun) -> None:
    run = with_trainer(
        diffusion_run, checkpoint=replace(diffusion_run.trainer.checkpoint, best=None)
    )
    found = evaluations(run, Measurements(run.folder, {}), torch.device("cpu"))
    assert isinstance(found, Evaluations)
    assert (found.every, found.at_start) == (10, False)
    evaluation = found.evaluation
    assert isinstance(evaluation, GenerationEvaluation)
    assert (evaluation.steps, evaluation.guidance_scale, evaluation.seed) == (14, 2.5, 37)
    assert evaluation.keep_sounds
    assert evaluation.metrics == ["frechet", "kad"]
    assert evaluation.fixed.seconds == 0.0625
    assert len(evaluation.fixed.recordings) == 3


def test_what_is_measured_and_gone_by(
    autoencoder_run: AutoencoderRun, diffusion_run: DiffusionRun
) -> None:
    found = measured(autoencoder_run)
    assert found["validation"].startswith(f"{autoencoder_run.data.path}/held_out.jsonl (")
    assert found["evaluation"].startswith("2 recordings of ")
    assert "at most 0.25 s" in found["evaluation"]
    assert "14 steps, guidance scale 2.5, seed 37" in measured(diffusion_run)["evaluation"]
    assert going_by(autoencoder_run.trainer) == {
        "checkpoint.best": "evaluation/stft",
        "early_stopping.metric": "validation/loss",
    }


def test_each_manifest_is_read_once(
    autoencoder_run: AutoencoderRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stable_audio_open.builders.data import autoencoder_data, new_faults

    read: list[str] = []

    def noting(folder: Path, manifest: str) -> Any:
        read.append(manifest)
        return original(folder, manifest)

    original = run_module.read_recordings
    monkeypatch.setattr(run_module, "read_recordings", noting)
    new_faults(autoencoder_run)
    measured(autoencoder_run)
    evaluations(autoencoder_run, Measurements(autoencoder_run.folder, {}), torch.device("cpu"))
    autoencoder_data(autoencoder_run)
    assert sorted(read) == ["held_out.jsonl", "judged.jsonl", "train.jsonl"]


@pytest.mark.parametrize("missing", ["data", "training", "training.trainer"])
def test_what_a_training_needs(diffusion_config: DiffusionModelConfig, missing: str) -> None:
    if missing == "training.trainer":
        config = replace(
            diffusion_config, training=replace(diffusion_config.training, trainer=None)
        )  # type: ignore[type-var]
    else:
        config = replace(diffusion_config, **{missing: None})
    with pytest.raises(ConfigError, match=f"model: `{missing}` is missing"):
        training_run(config)


def test_the_learning_rate_is_a_number_of_the_paper() -> None:
    settings = OptimizerSettings(
        lr=1.0, betas=(0.9, 0.99), weight_decay=0, inv_gamma=1e6, power=0.5, warmup=0.99
    )
    assert settings.factor(0) == pytest.approx(0.01)
    assert settings.factor(10**6 - 1) == pytest.approx(1 / math.sqrt(2), rel=1e-6)


def test_every_setting_of_the_trainer(diffusion_run: DiffusionRun) -> None:
    run = with_trainer(
        diffusion_run,
        nodes=3,
        devices=2,
        strategy="ddp",
        accelerator="gpu",
        logger="wandb",
        compile=True,
    )
    assert asdict(trainer_settings(run)) == {
        "folder": run.folder,
        "max_steps": 23,
        "item_seconds": 0.128,
        "logger": "wandb",
        "log_every": 2,
        "checkpoint_every": 13,
        "checkpoints_kept": 5,
        "best": "evaluation/stft",
        "accelerator": "gpu",
        "devices": 2,
        "nodes": 3,
        "precision": "bf16-mixed",
        "strategy": "ddp",
        "compiled": True,
        "accumulate": 3,
        "gradient_clip": 0.625,
        "most_skipped": 17,
        "validate_every": 11,
    }


@pytest.mark.parametrize("metric", ["frechet", "kad", "kl", "clap"])
def test_networks_measure_their_metric(diffusion_run: DiffusionRun, metric: str) -> None:
    others = dict.fromkeys(("frechet", "kad", "kl", "clap"))
    wanted = replace(diffusion_run.training.evaluation, **(others | {metric: "nosuch"}))  # type: ignore[type-var]
    roles = {"frechet": "embedder", "kl": "tagger", "clap": "embedder of audio and text"}
    roles["kad"] = "embedder"
    with pytest.raises(
        ValueError, match=rf"^training\.evaluation\.{metric}: no {roles[metric]} 'nosuch'"
    ):
        load_listeners(wanted, torch.device("cpu"))


def test_values_without_the_kernel_distance_are_those_of_before_it(
    diffusion_run: DiffusionRun,
) -> None:
    """A run that began before the setting came is resumed with the values that it has."""
    run = with_trainer(
        diffusion_run, checkpoint=replace(diffusion_run.trainer.checkpoint, best=None)
    )
    found = evaluations(run, Measurements(run.folder, {}), torch.device("cpu"))
    assert found is not None
    fixed = found.evaluation.fixed  # type: ignore[attr-defined]
    wanted: Any = run.training.evaluation
    how = replace(wanted, kad=None, every=1, at_start=False, listen_on_cpu=False, keep_sounds=False)
    before = {name: value for name, value in msgspec.to_builtins(how).items() if name != "kad"}
    digest = hashlib.sha256()
    for part in (msgspec.json.encode(before), fixed_set_hash(fixed.recordings).encode()):
        digest.update(hashlib.sha256(part).digest())

    def words(kad: str | None) -> str:
        training = replace(run.training, evaluation=replace(wanted, kad=kad))
        return measured(training_run(replace(run.config, training=training)))["evaluation"]

    assert words(None).endswith(f"({digest.hexdigest()[:16]})")
    assert "kad" not in words(None)
    assert "frechet by log-mel, kad by mean-log-mel; " in words("mean-log-mel")
    assert words("mean-log-mel")[-18:] != words(None)[-18:]


def test_validations_of_another_kind_are_not_compared(
    autoencoder_config: AutoencoderModelConfig, diffusion_config: DiffusionModelConfig
) -> None:
    """What changes the losses changes what a run says that it measures."""

    def named(config: Any, **changes: Any) -> str:
        for part, values in changes.items():
            config = replace(config, **{part: replace(getattr(config, part), **values)})
        return measured(training_run(config))["validation"]

    diffusion, codec = named(diffusion_config), named(autoencoder_config)
    assert named(diffusion_config, training={"latents": "draws"}) != diffusion
    assert named(autoencoder_config, data={"loudness": -22.0}) != codec
    assert named(autoencoder_config, data={"polarity_flip": 0.0}) == codec
    assert named(diffusion_config, training={"guidance_dropout": 0.2}) == diffusion
