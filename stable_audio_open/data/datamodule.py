"""The seam to Lightning: a dataset with epochs becomes a data module."""

from collections.abc import Sized
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
from torch.utils.data import DataLoader, Dataset, DistributedSampler


@runtime_checkable
class EpochDataset(Sized, Protocol):
    """A map-style dataset whose items depend on the epoch."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""

    def __getitem__(self, index: int) -> Any: ...


class EpochSampler(DistributedSampler[Any]):
    """Order shuffled by (seed, epoch), split over processes; tells the dataset the epoch too.

    Lightning calls `set_epoch` before each epoch, and leaves a DistributedSampler as it is.
    """

    def __init__(self, dataset: EpochDataset, *, replicas: int, rank: int, seed: int) -> None:
        super().__init__(
            dataset,  # type: ignore[arg-type]  # any sized map-style dataset will do
            num_replicas=replicas,
            rank=rank,
            shuffle=True,
            seed=seed,
        )

    def set_epoch(self, epoch: int) -> None:
        """Choose the order, and the random draws of the dataset."""
        super().set_epoch(epoch)
        self.dataset.set_epoch(epoch)  # type: ignore[attr-defined]  # see __init__


class AudioDataModule(pl.LightningDataModule):
    """Batches of any of this package's datasets, in an order that (seed, epoch) decide."""

    def __init__(
        self, dataset: EpochDataset, *, batch_size: int, workers: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled batches; a last one that is not full is dropped, unless it is the only one."""
        trainer = self.trainer
        sampler = EpochSampler(
            self.dataset,
            replicas=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
            seed=self.seed,
        )
        # Lightning starts the first epoch of a run, and of a resumed run, before `set_epoch`.
        sampler.set_epoch(trainer.current_epoch if trainer else 0)
        dataset: Dataset[Any] = self.dataset  # type: ignore[assignment]  # structural, not nominal
        # Workers are started anew in each epoch: they carry the dataset's epoch.
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            drop_last=len(sampler) >= self.batch_size,
        )
