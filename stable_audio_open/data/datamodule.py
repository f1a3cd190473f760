"""The seam to Lightning: a dataset with epochs becomes a data module."""

from collections.abc import Iterable, Iterator, Sequence, Sized
from itertools import chain, islice
from typing import Any, Protocol, runtime_checkable

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler, Subset

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.data.faults import EmptyBatch, Fault, collate
from stable_audio_open.nn.device import sent


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
        self.skipped = 0
        """Items that the next pass leaves out at its start."""

    def set_epoch(self, epoch: int) -> None:
        """Choose the order, and the random draws of the dataset."""
        super().set_epoch(epoch)
        self.dataset.set_epoch(epoch)  # type: ignore[attr-defined]  # see __init__

    def __iter__(self) -> Iterator[Any]:
        skipped, self.skipped = self.skipped, 0
        return islice(super().__iter__(), skipped, None)


def readable_batch(dataset: Any, order: Iterable[int], faults: Sequence[Fault]) -> Any:
    """Return a batch of one item, for one of which no item can be read.

    Without it one recording could end a run, or leave other processes waiting.

    Args:
        dataset: What is trained or validated on.
        order: Items in the order in which they are tried; all others come behind them.
        faults: What could not be read; those that are found on the way are added in the batch.

    Raises:
        AudioFileError: No recording can be read.
    """
    found = {fault.file: fault for fault in faults}
    for index in dict.fromkeys(chain(order, range(len(dataset)))):
        item = dataset[index]
        if not isinstance(item, Fault):
            batch = collate([item])
            batch["faults"] = list(found.values())
            return batch
        found.setdefault(item.file, item)
    raise AudioFileError(f"no recording can be read; the first one: {faults[0].reason}")


class ResumableLoader(DataLoader[Any]):
    """Counts the batches that it gave out, so that a run can be resumed amid an epoch.

    Lightning keeps the state in its checkpoints and gives it back before the first batch. Where no
    item of a batch can be read, another one of the epoch stands in for all, so that the number of
    batches stays.
    """

    sampler: EpochSampler

    def __init__(self, dataset: EpochDataset, *, sampler: EpochSampler, **settings: Any) -> None:
        items: Dataset[Any] = dataset  # type: ignore[assignment]  # structural, not nominal
        super().__init__(items, sampler=sampler, **settings)
        self._given = self._skipped = 0

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # Lightning needs no more
        # Nothing happens before the first batch is asked for: by then the epoch is known.
        given, self._skipped = self._skipped, 0
        assert self.batch_size is not None
        self.sampler.skipped = given * self.batch_size
        for batch in super().__iter__():
            given += 1
            self._given = given % len(self)
            if isinstance(batch, EmptyBatch):
                # From here on, so that no item takes the place of all.
                order = list(self.sampler)
                start = given * self.batch_size % len(order)
                batch = readable_batch(self.dataset, order[start:] + order, batch.faults)
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Return how many batches of this epoch were given out; none once they all were."""
        return {"batches": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Leave out, in the next pass, what was given out already."""
        self._given = self._skipped = state["batches"]


class ValidationLoader(DataLoader[Any]):
    """Leaves out batches of which no item can be read; their faults come with another batch.

    Args:
        dataset: The whole set.
        items: What falls to this process.
        settings: Of the DataLoader.
    """

    def __init__(self, dataset: EpochDataset, items: Sequence[int], **settings: Any) -> None:
        own: Dataset[Any] = Subset(dataset, items)  # type: ignore[arg-type]  # structural
        super().__init__(own, collate_fn=collate, **settings)
        self._whole, self._items = dataset, items

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]  # Lightning needs no more
        faults: list[Fault] = []
        waiting: Any = None
        for batch in super().__iter__():
            if isinstance(batch, EmptyBatch):
                (faults if waiting is None else waiting["faults"]).extend(batch.faults)
                continue
            batch["faults"] = [*faults, *batch["faults"]]
            faults = []
            if waiting is not None:
                yield waiting
            waiting = batch
        yield readable_batch(self._whole, self._items, faults) if waiting is None else waiting


class AudioDataModule(pl.LightningDataModule):
    """Batches of any of this package's datasets, in an order that (seed, epoch) decide.

    Args:
        dataset: What is trained on.
        batch_size: Items of a batch, in each process.
        workers: Processes that read ahead.
        seed: Seed of the order.
    """

    def __init__(
        self, dataset: EpochDataset, *, batch_size: int, workers: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        self.dataset = dataset
        self.batch_size = batch_size
        self.workers = workers
        self.seed = seed

    def train_dataloader(self) -> ResumableLoader:
        """Shuffled batches; a last one that is not full is dropped, unless it is the only one."""
        trainer = self.trainer
        sampler = EpochSampler(
            self.dataset,
            replicas=trainer.world_size if trainer else 1,
            rank=trainer.global_rank if trainer else 0,
            seed=self.seed,
        )
        sampler.set_epoch(trainer.current_epoch if trainer else 0)
        # Workers are started anew in each epoch: they carry the dataset's epoch.
        return ResumableLoader(
            self.dataset,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            drop_last=len(sampler) >= self.batch_size,
            collate_fn=collate,
        )

    def transfer_batch_to_device(
        self, batch: Any, device: torch.device, dataloader_idx: int
    ) -> Any:
        """Move sounds and latents to a device, without waiting for it.

        Numbers, one of each item, stay on the CPU: conditions are prepared from their values, which
        would be waited for. What is no batch of ours is moved as Lightning does it.
        """
        if not isinstance(batch, dict):
            return super().transfer_batch_to_device(batch, device, dataloader_idx)

        def is_moved(value: object) -> bool:
            return isinstance(value, Tensor) and value.ndim > 1

        return {
            name: sent(value, device) if is_moved(value) else value for name, value in batch.items()
        }


class ValidatedDataModule(AudioDataModule):
    """The same, with a dataset to validate on, always as in its epoch 0.

    (Lightning warns of a data module that could validate and has nothing to do so.)
    """

    def __init__(self, dataset: EpochDataset, validation: EpochDataset, **settings: int) -> None:
        super().__init__(dataset, **settings)
        self.validation = validation

    def val_dataloader(self) -> DataLoader[Any]:
        """Every item of the validation set once, dealt to the processes; the last batch is short.

        A set of fewer items than processes is given to each of them as a whole: none may wait.
        """
        trainer = self.trainer
        rank, replicas = (trainer.global_rank, trainer.world_size) if trainer else (0, 1)
        count = len(self.validation)
        items = range(rank, count, replicas) if count >= replicas else range(count)
        return ValidationLoader(
            self.validation, items, batch_size=self.batch_size, num_workers=self.workers
        )
