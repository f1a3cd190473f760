from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.data.datamodule import (
    AudioDataModule,
    EpochSampler,
    ResumableLoader,
    ValidatedDataModule,
    ValidationLoader,
)
from stable_audio_open.data.faults import Fault


class Numbers:
    """Item i is [epoch, i]."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Tensor:
        return torch.tensor([self.epoch, index])


def batches(length: int, batch_size: int, *, seed: int = 0, epoch: int = 0) -> list[list[int]]:
    module = AudioDataModule(Numbers(length), batch_size=batch_size, seed=seed)
    loader = module.train_dataloader()
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    found = list(loader)
    assert all((batch[:, 0] == epoch).all() for batch in found)
    return [batch[:, 1].tolist() for batch in found]


def test_each_epoch_is_a_permutation_of_its_own() -> None:
    first, second = batches(12, 4), batches(12, 4, epoch=1)
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(12))
    assert first != second
    assert first == batches(12, 4)
    assert first != batches(12, 4, seed=1)


@pytest.mark.parametrize(("length", "sizes"), [(9, [4, 4]), (8, [4, 4]), (4, [4]), (3, [3])])
def test_a_last_batch_that_is_not_full(length: int, sizes: list[int]) -> None:
    assert [len(batch) for batch in batches(length, 4)] == sizes


@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")  # on 1 core
@pytest.mark.parametrize("workers", [0, 2])
def test_processes_and_workers_see_every_item_once(workers: int) -> None:
    seen: list[int] = []
    for rank in range(3):
        data = Numbers(24)
        loader = ResumableLoader(
            data,
            batch_size=4,
            sampler=EpochSampler(data, replicas=3, rank=rank, seed=1),
            num_workers=workers,
        )
        loader.sampler.set_epoch(2)
        mine = [index for batch in loader for index in batch[:, 1].tolist()]
        assert len(mine) == 8
        seen += mine
    assert sorted(seen) == list(range(24))


class Recorder(pl.LightningModule):
    """Trains nothing, notes what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[list[list[int]]] = []

    def training_step(self, batch: Tensor, _: int) -> Tensor:
        self.seen.append(batch.tolist())
        return self.weight

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD([self.weight], lr=0.1)


def trainer(**options: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


# Lightning advises more workers than an in-memory data set needs.
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
@pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*:FutureWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_run_sees_what_the_whole_run_saw(tmp_path: Path, workers: int) -> None:
    def data() -> AudioDataModule:
        return AudioDataModule(Numbers(5), batch_size=2, workers=workers, seed=3)

    whole, half, rest = Recorder(), Recorder(), Recorder()
    trainer(max_epochs=4).fit(whole, data())
    assert [batch[0][0] for batch in whole.seen] == [0, 0, 1, 1, 2, 2, 3, 3]
    first = trainer(max_epochs=2)
    first.fit(half, data())
    first.save_checkpoint(tmp_path / "half.ckpt")
    trainer(max_epochs=4).fit(rest, data(), ckpt_path=tmp_path / "half.ckpt")
    assert half.seen + rest.seen == whole.seen


class Damaged(Numbers):
    """Items of two recordings each; some recordings cannot be read."""

    def __init__(self, length: int, *damaged: int) -> None:
        super().__init__(length)
        self.damaged = damaged

    def __getitem__(self, index: int) -> Any:
        file = f"{index // 2}.wav"
        if index // 2 in self.damaged:
            return Fault(file, f"{file}: is damaged")
        return {"index": index, "file": file}


def damaged_batches(module: AudioDataModule, epoch: int = 0) -> list[Any]:
    loader = module.train_dataloader()
    loader.sampler.set_epoch(epoch)
    return list(loader)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker processes")  # on 1 core
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [1, 2])
def test_a_batch_that_cannot_be_read_gives_way_to_another_item(size: int, workers: int) -> None:
    """The number of batches stays, others are as they were, and every damaged file is named."""
    module = AudioDataModule(Damaged(24, 0, 5), batch_size=size, workers=workers, seed=1)
    whole = AudioDataModule(Damaged(24), batch_size=size, seed=1)
    emptied = 0
    for epoch in range(6):
        found, undamaged = damaged_batches(module, epoch), damaged_batches(whole, epoch)
        assert len(found) == 24 // size
        for batch, all_items in zip(found, undamaged, strict=True):
            left = [i for i in all_items["index"].tolist() if i // 2 not in (0, 5)]
            emptied += not left
            assert batch["index"].tolist() == left if left else len(batch["index"]) == 1
            assert {fault.file for fault in batch["faults"]} >= {
                file for file in all_items["file"] if file in ("0.wav", "5.wav")
            }
            assert not set(batch["file"]) & {"0.wav", "5.wav"}
    assert emptied >= 1
    stand_ins = [b["index"].tolist() for b in damaged_batches(module) if len(b["index"]) < size]
    assert stand_ins == [
        b["index"].tolist() for b in damaged_batches(module) if len(b["index"]) < size
    ]


def test_a_resumed_pass_gives_the_same_stand_in() -> None:
    module = AudioDataModule(Damaged(24, 0, 1, 2), batch_size=1, seed=2)
    whole = [batch["index"].item() for batch in damaged_batches(module)]
    resumed = module.train_dataloader()
    resumed.load_state_dict({"batches": 7})
    assert [batch["index"].item() for batch in resumed] == whole[7:]
    assert len(set(whole)) > 16  # no item takes the place of all


def test_a_set_of_which_nothing_can_be_read_is_an_error() -> None:
    with pytest.raises(
        AudioFileError, match=r"^no recording can be read; the first one: \d.wav: is"
    ):
        damaged_batches(AudioDataModule(Damaged(4, 0, 1), batch_size=2))


@pytest.mark.parametrize("damaged", [(0,), (3,), (0, 1, 3), (1, 2)])
@pytest.mark.parametrize("size", [1, 2, 3])
def test_validation_leaves_out_what_cannot_be_read(damaged: tuple[int, ...], size: int) -> None:
    module = ValidatedDataModule(Numbers(4), Damaged(8, *damaged), batch_size=size)
    found = list(module.val_dataloader())
    items = [index for batch in found for index in batch["index"].tolist()]
    assert items == [index for index in range(8) if index // 2 not in damaged]
    faults = {fault.file for batch in found for fault in batch["faults"]}
    assert faults == {f"{index}.wav" for index in damaged}


def test_a_process_that_can_validate_nothing_of_its_own_takes_another_item() -> None:
    loader = ValidationLoader(Damaged(6, 0), [0, 1], batch_size=2)
    (batch,) = loader
    assert batch["index"].tolist() == [2]
    assert [fault.file for fault in batch["faults"]] == ["0.wav"]
    with pytest.raises(AudioFileError, match="no recording can be read"):
        list(ValidationLoader(Damaged(2, 0), [0, 1], batch_size=1))
