from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from stable_audio_open.data.datamodule import AudioDataModule, EpochSampler, ResumableLoader


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
