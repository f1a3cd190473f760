"""Every autograd.Function of the package: derivatives that are written out, eager and compiled."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor

import stable_audio_open
from stable_audio_open.nn.snake import snake
from stable_audio_open.nn.spectrum import magnitude
from tests.needs import compiling

pytestmark = [*compiling, pytest.mark.numerical]

Function = Callable[..., Tensor]
PACKAGE = Path(stable_audio_open.__file__).parent


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()


CASES: dict[str, tuple[Function, tuple[Tensor, ...]]] = {
    "_Snake": (snake, (normal(2, 3, 4), normal(3, 1, seed=1), normal(3, 1, seed=2))),
    "_Magnitude": (magnitude, (normal(2, 3, 4, dtype=torch.complex128),)),
}


def functions() -> Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and any(
                "Function" in ast.unparse(b) for b in node.bases
            ):
                yield node.name


def test_every_function_is_checked() -> None:
    assert sorted(functions()) == sorted(CASES)


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Function, tuple[Tensor, ...]]:
    return CASES[request.param]


def test_gradients_agree_with_finite_differences(case: Any) -> None:
    function, inputs = case
    assert torch.autograd.gradcheck(function, inputs)


def test_compiled_gradients_are_the_eager_ones(case: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    function, inputs = case
    # Checks of shapes cannot be compiled.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    torch._dynamo.reset()
    compiled = torch.compile(function, backend="aot_eager")
    eager, found = (
        torch.autograd.grad(run(*inputs).square().sum(), inputs) for run in (function, compiled)
    )
    assert all(gradient.any() for gradient in eager)
    torch.testing.assert_close(found, eager)
