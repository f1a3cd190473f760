"""Any function as an embedder."""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor


class FunctionEmbedder:
    """Gives what a function of the audio returns."""

    def __init__(
        self,
        *,
        name: str,
        sample_rate: int,
        function: Callable[[Float[Tensor, "time"]], Float[Tensor, "windows width"]],
    ) -> None:
        self.name = name
        self.sample_rate = sample_rate
        self.function = function

    def __call__(self, mono: Float[Tensor, "time"]) -> Float[Tensor, "windows width"]:
        return self.function(mono)
