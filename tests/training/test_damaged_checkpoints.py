"""A checkpoint whose bytes have changed is noticed, and the one before it is gone on from."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.config.model import AutoencoderModelConfig
from stable_audio_open.config.trainer import CheckpointConfig
from stable_audio_open.jobs.train import run_training
from stable_audio_open.pretrained import load
from stable_audio_open.training.checkpoints.whole_checkpoint import first_whole

Change = Callable[..., AutoencoderModelConfig]


def damage(path: Path) -> None:
    """Flip one bit of a weight, in a file of its own: `last.ckpt` may be a link."""
    tensors = torch.load(path, weights_only=True)["state_dict"]
    numbers = max(tensors.values(), key=torch.Tensor.numel).numpy().tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(numbers) + len(numbers) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(content)


@pytest.fixture(scope="module")
def finished(autoencoder_run: AutoencoderModelConfig, change: Change) -> Path:
    return run_training(change(autoencoder_run, name="undamaged")).parent


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """The run as it was after three of four steps, in a folder of its own."""
    folder = tmp_path / "damaged" / "checkpoints"
    folder.mkdir(parents=True)
    for step in (1, 2, 3):
        shutil.copy(finished / f"{step:08d}.ckpt", folder)
    (folder / "last.ckpt").hardlink_to(folder / "00000003.ckpt")
    return folder


def resumed(run: AutoencoderModelConfig, change: Change, folder: Path, **changes: object) -> Path:
    config = change(run, name="damaged", output=str(folder.parents[1]), **changes)
    return run_training(config)


@pytest.mark.slow
def test_the_step_before_is_gone_on_from_with_a_word(
    autoencoder_run: AutoencoderModelConfig,
    change: Change,
    folder: Path,
    finished: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(folder / "last.ckpt")
    damage(folder / "00000002.ckpt")
    last = resumed(autoencoder_run, change, folder)
    told = [text for text in caplog.messages if "is damaged" in text]
    assert len(told) == 2
    for message, name in zip(told, (r"(last|00000003)", "00000002"), strict=True):
        assert re.fullmatch(
            rf".*/damaged/checkpoints/{name}\.ckpt: is damaged, archive/data/\d+ is not as it was "
            r"written; going on from .*/damaged/checkpoints/00000001\.ckpt",
            message,
        )
    found, whole = (torch.load(path, weights_only=True) for path in (last, finished / "last.ckpt"))
    assert found["global_step"] == whole["global_step"] == 4
    for name, tensor in whole["state_dict"].items():
        torch.testing.assert_close(found["state_dict"][name], tensor)


def test_with_one_kept_there_is_no_other(
    autoencoder_run: AutoencoderModelConfig, change: Change, folder: Path
) -> None:
    for name in ("00000001.ckpt", "00000002.ckpt"):
        (folder / name).unlink()
    damage(folder / "last.ckpt")
    content = (folder / "last.ckpt").read_bytes()
    keep = CheckpointConfig(every=1, keep=1)
    with pytest.raises(CheckpointError) as caught:
        resumed(autoencoder_run, change, folder, checkpoint=keep)
    assert str(caught.value).endswith(
        "is not as it was written; there is no other (training.trainer.checkpoint.keep says how "
        "many are kept): give a whole one as --resume, or start another run with "
        "training.trainer.name"
    )
    assert "\n" not in str(caught.value)
    assert (folder / "last.ckpt").read_bytes() == content


def test_one_that_was_asked_for_is_refused(
    autoencoder_run: AutoencoderModelConfig, change: Change, folder: Path
) -> None:
    asked = folder / "00000002.ckpt"
    damage(asked)
    config = change(autoencoder_run, name="damaged", output=str(folder.parents[1]))
    with pytest.raises(CheckpointError, match=r"00000002\.ckpt: is damaged, .* there is no other"):
        run_training(config, resume=str(asked))


def test_a_file_that_is_cut_off_is_passed_over_too(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cut, whole = folder / "00000003.ckpt", folder / "00000002.ckpt"
    cut.write_bytes(cut.read_bytes()[:-1000])
    assert first_whole([cut, whole]) == whole
    [message] = caplog.messages
    assert message.startswith(f"{cut} is truncated")


def test_nothing_is_whole_of_nothing(folder: Path) -> None:
    assert first_whole([]) is None
    assert first_whole(sorted(folder.glob("[0-9]*.ckpt"))) == folder / "00000001.ckpt"


def test_all_are_counted_where_none_is_whole(folder: Path) -> None:
    paths = sorted(folder.glob("[0-9]*.ckpt"), reverse=True)
    for path in paths:
        damage(path)
    with pytest.raises(CheckpointError, match=r"00000003\.ckpt: is damaged.*; so are 2 before it"):
        first_whole(paths)


def test_it_is_noticed_where_a_model_is_loaded(folder: Path) -> None:
    load(folder / "last.ckpt", device="cpu")
    damage(folder / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last\.ckpt: is damaged, .* as it was written$"):
        load(folder / "last.ckpt", device="cpu")


@pytest.mark.parametrize(
    ("change_it", "told"),
    [
        (lambda t: t.to(torch.int8), "is of the type int8"),
        (lambda t: t.to(torch.complex64), "is of the type complex64"),
        (lambda t: t * torch.nan, "holds NaN"),
    ],
)
def test_a_run_does_not_go_on_from_what_is_no_weight(
    autoencoder_run: AutoencoderModelConfig,
    change: Change,
    folder: Path,
    change_it: Callable[[torch.Tensor], torch.Tensor],
    told: str,
) -> None:
    content = torch.load(folder / "last.ckpt", weights_only=True)
    name = "model.decoder.output.parametrizations.weight.original0"
    content["state_dict"][name] = change_it(content["state_dict"][name])
    (folder / "last.ckpt").unlink()
    torch.save(content, folder / "00000003.ckpt")
    (folder / "last.ckpt").hardlink_to(folder / "00000003.ckpt")
    with pytest.raises(CheckpointError, match=rf"\.ckpt: {re.escape(name)} {told}; allowed: "):
        resumed(autoencoder_run, change, folder)
