"""Metrics during training: what is logged, what is kept, and when a run ends by them."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.audio.files import AudioFileError, read_audio
from stable_audio_open.audio_models.log_mel_embedder import MeanLogMelEmbedder
from stable_audio_open.audio_models.musicnn.network import MusicnnEmbedder, load_musicnn
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.evaluation import (
    GenerationEvaluationConfig,
    ReconstructionEvaluationConfig,
)
from stable_audio_open.config.model import AutoencoderModelConfig, DiffusionModelConfig
from stable_audio_open.config.trainer import CheckpointConfig, EarlyStoppingConfig
from stable_audio_open.evaluation.distances import reconstruction_distances
from stable_audio_open.evaluation.frechet.distance import evaluate_frechet
from stable_audio_open.evaluation.kernel_distance.distance import evaluate_kad
from stable_audio_open.evaluation.kl import evaluate_kl
from stable_audio_open.generate import generate
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import StableAudio, load
from stable_audio_open.training.callbacks.measurements import Measurement, read_measurements
from tests.audio_models.test_clap import small_model, write_vocabulary
from tests.needs import needs_musicnn
from tests.parsed_page import ParsedPage
from tests.training.test_processes import run_two
from tests.training.test_validation import rows, same

Change = Callable[..., Any]
NAMES = ("deep", "soft", "bright")


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny CLAP with random weights."""
    folder = tmp_path_factory.mktemp("clap")
    model, extractor = small_model("rand_trunc")
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    write_vocabulary(folder)
    return folder


def evaluated(config: Any, recordings: Path, **changes: Any) -> Any:
    """With an evaluation of the first three recordings at every second step."""
    kind: Any = ReconstructionEvaluationConfig
    if isinstance(config, DiffusionModelConfig):
        kind = GenerationEvaluationConfig
        changes = {"frechet": "musicnn", "steps": 2, "seed": 3} | changes
    wanted = kind(**({"path": str(recordings), "count": 3, "every": 2} | changes))
    training = msgspec.structs.replace(config.training, evaluation=wanted)
    return msgspec.structs.replace(config, training=training)


def measured(last: Path) -> list[Measurement]:
    return read_measurements(last.parents[1])


@pytest.fixture(scope="module")
def run(
    diffusion_run: DiffusionModelConfig, recordings: Path, clap: Path, change: Change
) -> tuple[DiffusionModelConfig, Path]:
    config = evaluated(
        diffusion_run,
        recordings,
        at_start=True,
        kad="mean-log-mel",
        kl="musicnn",
        clap=f"clap:{clap}",
        seconds=0.45,
    )
    keep = CheckpointConfig(every=1, keep=5, best="evaluation/clap")
    config = change(config, name="evaluated", checkpoint=keep)
    return config, run_training(config)


@needs_musicnn
@pytest.mark.slow
def test_evaluating_changes_nothing_of_the_training(
    run: tuple[DiffusionModelConfig, Path], diffusion_run: DiffusionModelConfig, change: Change
) -> None:
    assert same(run[1], run_training(change(diffusion_run, name="not_evaluated")))


@pytest.mark.slow
@needs_musicnn
def test_the_metrics_are_those_of_the_averaged_model(
    run: tuple[DiffusionModelConfig, Path], recordings: Path, tmp_path: Path
) -> None:
    """Generated, cut and compared by hand from the checkpoint of a step."""
    _, last = run
    model = load(last.with_name("00000002.ckpt"))
    assert isinstance(model, StableAudio)
    folders = made, references = tmp_path / "made", tmp_path / "references"
    for folder in folders:
        folder.mkdir()
    for place, name in enumerate(NAMES):
        path = recordings / f"{name}.wav"
        audio = read_audio(path, duration=0.45, sample_rate=model.sample_rate, channels=2)
        audio.save(references / path.name, subtype="float")
        generate(
            model,
            f"{name} drum",
            duration=audio.duration,
            steps=2,
            seed=3 + place,
            progress=False,
        ).finish(fade=0).save(made / path.name)
    tagger = load_musicnn()
    values = measured(last)[1].values
    frechet = evaluate_frechet(made, references, MusicnnEmbedder(tagger), points=0)
    assert values["evaluation/frechet"] == pytest.approx(frechet.distance, rel=1e-4)
    kad = evaluate_kad(made, references, MeanLogMelEmbedder())
    assert values["evaluation/kad"] == pytest.approx(kad.kernel_distance.value, rel=1e-3)
    kl = evaluate_kl(made, references, tagger)
    assert values["evaluation/kl"] == pytest.approx(kl.divergence, rel=1e-4)
    assert values["evaluation/silent"] == len(kl.silent) / 3
    # As long as each recording, at most the seconds asked for.
    lengths = [round(read_audio(made / f"{name}.wav").duration, 3) for name in NAMES]
    assert lengths == [0.3, 0.4, 0.45]


@pytest.mark.slow
@needs_musicnn
def test_curves_are_logged_kept_and_drawn(run: tuple[DiffusionModelConfig, Path]) -> None:
    _, last = run
    found = measured(last)
    assert [m.step for m in found] == [0, 2, 4]
    names = {f"evaluation/{name}" for name in ("frechet", "kad", "kl", "clap", "silent")}
    assert all(set(m.values) == names for m in found)
    for name in names:
        logged = rows(last, name)
        assert logged[2] == pytest.approx(found[1].values[name])
        assert logged[4] == pytest.approx(found[2].values[name])
    assert len({m.values["evaluation/frechet"] for m in found}) == 3
    page = ParsedPage(last.parents[1] / "measurements.html")
    assert {picture.alt for picture in page.pictures} == {
        f"{name} over the steps" for name in names
    }
    below = {heading.split()[0]: rows for heading, rows in page.rows_below.items() if heading}
    for name in names:
        points = [[str(m.step), f"{m.values[name]:.6g}"] for m in found]
        assert below[name] == points
    assert "highest at step" in page.text
    # How it was measured stands above.
    assert "3 captions of " in page.text
    assert "frechet by musicnn, kad by mean-log-mel, kl by musicnn, clap by clap:" in page.text
    assert "2 steps, guidance scale 7, seed 3" in page.text


@pytest.mark.slow
@needs_musicnn
def test_results_are_kept_with_their_origin_and_sounds_are_not(
    run: tuple[DiffusionModelConfig, Path],
) -> None:
    folder = run[1].parents[1] / "evaluation"
    assert sorted(path.name for path in (folder / "step_00000004").iterdir()) == [
        "clap.json",
        "frechet.json",
        "kad.json",
        "kl.json",
    ]
    result = json.loads((folder / "step_00000004" / "frechet.json").read_text())
    assert result["checkpoint"].startswith("musicnn MTT_musicnn sha256:")
    assert result["files"] == result["reference_files"] == 3


@pytest.mark.slow
@needs_musicnn
def test_sounds_are_kept_on_request(
    diffusion_run: DiffusionModelConfig, recordings: Path, change: Change
) -> None:
    config = evaluated(diffusion_run, recordings, keep_sounds=True)
    last = run_training(change(config, name="heard", max_steps=2))
    folder = last.parents[1] / "evaluation" / "step_00000002" / "generations"
    assert sorted(path.stem for path in folder.iterdir()) == sorted(NAMES)
    assert read_audio(folder / "deep.flac").duration == pytest.approx(0.3)


@pytest.mark.slow
@needs_musicnn
def test_the_best_is_the_highest_clap_score(run: tuple[DiffusionModelConfig, Path]) -> None:
    _, last = run
    scores = {m.step: m.values["evaluation/clap"] for m in measured(last)}
    best = max(scores, key=lambda step: scores[step])
    record = json.loads(last.with_name("best.json").read_text())
    assert record["metric"] == "evaluation/clap"
    assert (record["step"], record["value"]) == (best, pytest.approx(scores[best]))
    assert torch.load(last.with_name("best.ckpt"), weights_only=True)["global_step"] == best


@pytest.mark.slow
@needs_musicnn
def test_a_resumed_run_goes_on_measuring(
    run: tuple[DiffusionModelConfig, Path], change: Change
) -> None:
    config, last = run
    stopped = run_training(change(config, name="goes_on_measuring", max_steps=3))
    # The last step is measured too.
    assert [m.step for m in measured(stopped)] == [0, 2, 3]
    file = stopped.parents[1] / "measurements.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    # Cut off before the last evaluation, and with one of a run that was once longer.
    later = json.dumps(json.loads(lines[1]) | {"step": 9})
    file.write_text("".join(lines[:-1]) + later + "\n")
    again = run_training(change(config, name="goes_on_measuring"))
    assert same(again, last)
    found, whole = measured(again), measured(last)
    assert [m.step for m in found] == [0, 2, 4]
    for name, value in whole[-1].values.items():
        assert found[-1].values[name] == pytest.approx(value, rel=1e-5)


@pytest.mark.slow
@needs_musicnn
def test_a_run_that_was_cut_off_amid_an_evaluation_makes_it_again(
    run: tuple[DiffusionModelConfig, Path], change: Change
) -> None:
    config, last = run
    stopped = run_training(change(config, name="cut_off", max_steps=2))
    file = stopped.parents[1] / "measurements.jsonl"
    first = file.read_text().splitlines(keepends=True)[0]
    file.write_text(first)
    # Whether or not there are steps to come.
    for steps in (2, 3):
        found = measured(run_training(change(config, name="cut_off", max_steps=steps)))
        assert [m.step for m in found] == [0, 2, 3][:steps]
        assert found[1].values == pytest.approx(measured(last)[1].values, rel=1e-5)
        file.write_text(first)


@pytest.mark.slow
@needs_musicnn
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_find_the_same(
    strategy: str,
    run: tuple[DiffusionModelConfig, Path],
    change: Change,
    tmp_path: Path,
) -> None:
    config, last = run
    training = msgspec.structs.replace(config.training, batch_size=1)
    config = msgspec.structs.replace(config, training=training)
    config = change(
        config, name="two", output=str(tmp_path), max_steps=2, devices=2, strategy=strategy
    )
    file = tmp_path / "two" / "measurements.jsonl"
    for _ in range(2):
        found, whole = measured(run_two(config, tmp_path)), measured(last)
        assert [m.step for m in found] == [0, 2]
        for mine, theirs in zip(found, whole[:2], strict=True):
            # Two steps of other sums apart.
            assert mine.values == pytest.approx(theirs.values, rel=1e-2, abs=1e-4)
        # As if cut off after the last step: the same command measures what is missing.
        file.write_text(file.read_text().splitlines(keepends=True)[0])


@pytest.mark.slow
def test_an_evaluation_that_fails_does_not_end_the_run(
    autoencoder_run: AutoencoderModelConfig,
    recordings: Path,
    change: Change,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = change(evaluated(autoencoder_run, recordings), name="failing_evaluation")
    folder = Path(config.training.trainer.output) / "failing_evaluation" / "evaluation"
    folder.mkdir(parents=True)
    (folder / "step_00000002").write_text("in the way")
    last = run_training(config)
    assert torch.load(last, weights_only=True)["global_step"] == 4
    assert "the evaluation at step 2 failed" in caplog.text
    assert [m.step for m in measured(last)] == [4]


@pytest.mark.slow
def test_an_autoencoder_is_evaluated_as_in_table_3(
    adversarial_run: AutoencoderModelConfig, recordings: Path, change: Change
) -> None:
    """Against discriminators, and with an average in CPU memory."""
    config = change(evaluated(adversarial_run, recordings, seconds=0.35), name="evaluated")
    training = msgspec.structs.replace(
        config.training, ema=msgspec.structs.replace(config.training.ema, offload=True)
    )
    last = run_training(msgspec.structs.replace(config, training=training))
    assert same(last, run_training(change(adversarial_run, name="not_evaluated")))
    [first, second] = measured(last)
    assert (first.step, second.step) == (2, 4)

    model = load(last.with_name("00000002.ckpt"))
    sums = dict.fromkeys(("stft", "mel", "multi_resolution_stft", "si_sdr"), 0.0)
    for name in NAMES:
        audio = read_audio(recordings / f"{name}.wav", sample_rate=16000, channels=2, duration=0.35)
        length = audio.samples.shape[-1]
        with torch.inference_mode():
            decoded = model.decode(model.encode(audio.samples))[0, :, :length]
        distances = reconstruction_distances(decoded, audio.samples[0], sample_rate=16000)
        for key in sums:
            sums[key] += getattr(distances, key)
    expected = {f"evaluation/{key}": total / 3 for key, total in sums.items()}
    assert first.values == pytest.approx(expected, rel=1e-4)
    # The result is kept, what each process found is not.
    kept = last.parents[1] / "evaluation" / "step_00000002"
    assert [path.name for path in kept.iterdir()] == ["reconstruction.json"]
    result = json.loads((kept / "reconstruction.json").read_text())
    assert sorted(result["per_file"]) == sorted(NAMES)
    assert result["sample_rate"] == 16000


@pytest.mark.slow
def test_two_processes_share_out_an_autoencoders_recordings(
    autoencoder_run: AutoencoderModelConfig, recordings: Path, change: Change, tmp_path: Path
) -> None:
    """Three recordings, measured before the first step, where both have the same weights."""
    config = evaluated(autoencoder_run, recordings, at_start=True, every=1)
    alone = run_training(change(config, name="alone", max_steps=1))
    config = change(config, name="shared_out", output=str(tmp_path), max_steps=1, devices=2)
    found = run_two(config, tmp_path)
    for step, exact in ((0, 1e-5), (1, 0.1)):
        mine, theirs = (
            json.loads(
                (
                    last.parents[1] / "evaluation" / f"step_{step:08d}" / "reconstruction.json"
                ).read_text()
            )
            for last in (found, alone)
        )
        assert list(mine["per_file"]) == list(theirs["per_file"])
        assert mine["mean"] == pytest.approx(theirs["mean"], rel=exact)


@pytest.mark.slow
@needs_musicnn
def test_a_metric_may_be_added_later(
    run: tuple[DiffusionModelConfig, Path], change: Change, tmp_path: Path
) -> None:
    config, _ = run
    wanted = config.training.evaluation  # type: ignore[union-attr]
    fewer = msgspec.structs.replace(wanted, clap=None, kl=None)
    training: Any = config.training
    keep = CheckpointConfig(every=1, keep=5)
    first = msgspec.structs.replace(
        config, training=msgspec.structs.replace(training, evaluation=fewer)
    )
    run_training(change(first, output=str(tmp_path), max_steps=2, checkpoint=keep))
    stop = EarlyStoppingConfig(metric="evaluation/kl", patience=9)
    again = run_training(
        change(config, output=str(tmp_path), max_steps=4, checkpoint=keep, early_stopping=stop)
    )
    assert [sorted(m.values) for m in measured(again)] == [
        [
            "evaluation/clap",
            "evaluation/frechet",
            "evaluation/kad",
            "evaluation/kl",
            "evaluation/silent",
        ]
    ] * 2


def write_set(folder: Path, name: str, samples: Tensor) -> None:
    """One recording and its manifest."""
    soundfile.write(folder / f"{name}.wav", samples.numpy(), 16000, subtype="FLOAT")
    line = {"file": f"{name}.wav", "caption": name}
    (folder / "manifest.jsonl").write_text(json.dumps(line) + "\n")


def test_a_silent_set_is_told_before_the_first_step(
    autoencoder_run: AutoencoderModelConfig, change: Change, tmp_path: Path
) -> None:
    write_set(tmp_path, "nothing", torch.zeros(8000, 2))
    config = change(evaluated(autoencoder_run, tmp_path), name="nothing")
    with pytest.raises(ValueError, match=r"nothing\.wav: is silent, as all of the fixed set; give"):
        run_training(config)
    assert not (Path(config.training.trainer.output) / "nothing").exists()


def test_a_recording_that_cannot_be_read_is_told_before_anything_is_written(
    autoencoder_run: AutoencoderModelConfig, change: Change, tmp_path: Path
) -> None:
    """Its header is as it should be."""
    samples = torch.ones(8000, 2)
    samples[4000] = torch.nan
    write_set(tmp_path, "broken", samples)
    config = change(evaluated(autoencoder_run, tmp_path), name="broken")
    with pytest.raises(AudioFileError, match=r"broken\.wav: "):
        run_training(config)
    assert not (Path(config.training.trainer.output) / "broken").exists()


@pytest.mark.slow
@needs_musicnn
def test_what_can_never_be_measured_is_told_before_the_first_step(
    diffusion_run: DiffusionModelConfig, recordings: Path, change: Change
) -> None:
    config = change(evaluated(diffusion_run, recordings, count=1), name="one_window")
    with pytest.raises(ValueError, match="at least 2"):
        run_training(config)
    assert not (Path(config.training.trainer.output) / "one_window" / "checkpoints").exists()


def test_what_a_run_goes_by_must_be_measured(
    diffusion_run: DiffusionModelConfig,
    autoencoder_run: AutoencoderModelConfig,
    recordings: Path,
    change: Change,
) -> None:
    stop = EarlyStoppingConfig(metric="evaluation/frechet", patience=1)
    with pytest.raises(ConfigError, match=r"describe them as `training\.evaluation`"):
        run_training(change(diffusion_run, name="not_measured", early_stopping=stop))
    config = change(
        evaluated(autoencoder_run, recordings), name="not_measured", early_stopping=stop
    )
    with pytest.raises(
        ConfigError,
        match=r"`training\.trainer\.early_stopping\.metric` is 'evaluation/frechet', which "
        r"`training\.evaluation` does not find; allowed: evaluation/stft, evaluation/mel, ",
    ):
        run_training(config)
    assert not (Path(config.training.trainer.output) / "not_measured").exists()


def test_the_fixed_set_is_checked_before_anything_starts(
    autoencoder_run: AutoencoderModelConfig, recordings: Path, change: Change, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    for folder in (tmp_path, tmp_path / "other"):
        (folder / "deep.wav").write_bytes((recordings / "deep.wav").read_bytes())
    lines = [{"file": name, "caption": "a drum"} for name in ("deep.wav", "other/deep.wav")]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    config = change(evaluated(autoencoder_run, tmp_path), name="unprepared")
    with pytest.raises(ValueError, match="have the same name without suffix; rename one"):
        run_training(config)
    lines[1]["file"] = "deep.wav"
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    with pytest.raises(ValueError, match=r"lists .*deep\.wav twice; leave one line out"):
        run_training(config)
    (tmp_path / "deep.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"deep\.wav"):
        run_training(config)
    assert not (Path(config.training.trainer.output) / "unprepared").exists()


def test_what_is_not_a_number_is_no_better(tmp_path: Path) -> None:
    (tmp_path / "measurements.jsonl").write_text('{"step":1,"values":{"evaluation/kl":null}}\n')
    [found] = read_measurements(tmp_path)
    assert math.isnan(found.values["evaluation/kl"])
    (tmp_path / "measurements.jsonl").write_text('{"step":1}\n')
    with pytest.raises(ValueError, match=r"measurements\.jsonl:1: not a measurement .* repair"):
        read_measurements(tmp_path)
