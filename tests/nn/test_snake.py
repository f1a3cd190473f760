import pytest
import torch
from torch import Tensor

from stable_audio_open.nn.snake import Snake, snake

pytestmark = pytest.mark.numerical


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def plain(x: Tensor, alpha: Tensor, beta: Tensor) -> Tensor:
    return x + torch.sin(alpha.exp() * x) ** 2 / (beta.exp() + 1e-9)


def test_gradients_are_those_of_the_plain_formula() -> None:
    given = [normal(2, 3, 20), normal(3, 1, seed=1), normal(3, 1, seed=2)]
    direction = normal(2, 3, 20, seed=3)
    gradients = []
    for function in (snake, plain):
        leaves = [tensor.clone().requires_grad_() for tensor in given]
        (function(*leaves) * direction).sum().backward()
        gradients.append([leaf.grad for leaf in leaves])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_half_precision(dtype: torch.dtype) -> None:
    module = Snake(channels=3).to(dtype)
    x = normal(2, 3, 20).to(dtype)
    found = module(x)
    assert found.dtype == dtype
    expected = plain(x.double(), torch.zeros(3, 1), torch.zeros(3, 1))
    torch.testing.assert_close(found.double(), expected, atol=0.02, rtol=0.02)


def test_second_derivatives_are_refused() -> None:
    x, factor = normal(1, 1, 3).requires_grad_(), normal(1, 1, 3).requires_grad_()
    out = snake(x, torch.zeros(1, 1), torch.zeros(1, 1)) * factor
    (gradient,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
