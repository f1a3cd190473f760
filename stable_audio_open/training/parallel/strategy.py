"""How processes share the training of a model."""

from collections.abc import Mapping
from typing import Any

from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import ModelParallelStrategy
from torch.optim import Optimizer

from stable_audio_open.training.parallel.sharding import gathered, split_like, split_state


class ShardedStrategy(ModelParallelStrategy):
    """Fully sharded data parallelism (FSDP2): each process holds a part of every weight.

    The module splits its networks in `configure_model`, over the mesh that it finds there.
    Checkpoints are those of a single process in every part, so that a run can go on with another
    strategy and another number of processes. (Lightning's own have other numbers for the
    optimiser's state, and are read before the module can put its frozen weights back.)

    It runs on GPUs over NCCL and on CPUs over gloo.
    """

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        """Join the processes, in one mesh axis over all of them."""
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    @property
    def lightning_restore_optimizer(self) -> bool:
        """Let Lightning hand over the optimisers' states."""
        return True

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Return the whole weights on the first process, nothing on others; all must call it."""
        assert self.lightning_module is not None
        return self._whole(self.lightning_module.state_dict())

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Return the whole state on the first process, nothing on others; all must call it."""
        if isinstance(optimizer, LightningOptimizer):
            optimizer = optimizer.optimizer
        return self._whole(optimizer.state_dict())

    def load_checkpoint(
        self, checkpoint_path: Any, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Read a checkpoint on every process."""
        return self.checkpoint_io.load_checkpoint(checkpoint_path, weights_only=weights_only)

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Take this process' part of the weights."""
        module = self.lightning_module
        assert module is not None
        module.load_state_dict(split_state(checkpoint["state_dict"], module), strict=strict)

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take this process' part of the optimisers' states."""
        states = checkpoint["optimizer_states"]
        for optimizer, whole in zip(self.optimizers, states, strict=True):
            # Saved numbers follow the order of the parameters.
            numbers = [n for group in whole["param_groups"] for n in group["params"]]
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            part = {
                number: {name: split_like(x, own) for name, x in whole["state"][number].items()}
                for number, own in zip(numbers, parameters, strict=True)
                if number in whole["state"]
            }
            optimizer.load_state_dict({**whole, "state": part})

    def _whole(self, state: dict[str, Any]) -> dict[str, Any]:
        whole: dict[str, Any] = gathered(state, keep=self.is_global_zero)
        return whole if self.is_global_zero else {}
