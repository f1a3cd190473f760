import pytest
import torch
from torch import Tensor
from torch.nn import functional

from stable_audio_open.similarity.pairs import Pairs, Search, groups, similar_pairs
from stable_audio_open.similarity.pairs_faiss import similar_pairs_by_faiss

pytestmark = pytest.mark.numerical

SEARCHES = [similar_pairs, similar_pairs_by_faiss]


def clustered(items: int = 60, width: int = 16) -> Tensor:
    """Vectors of any length around a few directions."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(12, width, generator=generator)
    spread = 0.25 * torch.randn(items, width, generator=generator)
    lengths = torch.rand(items, 1, generator=generator) + 0.1
    return lengths * (centres[torch.arange(items) % 12] + spread)


@pytest.mark.parametrize("block", [1, 7, 16, 60, 4096])
@pytest.mark.parametrize("threshold", [0.2, 0.9])
@pytest.mark.parametrize("search", SEARCHES)
def test_all_pairs_are_found_whatever_the_block(
    search: Search, block: int, threshold: float
) -> None:
    if search is similar_pairs_by_faiss:
        pytest.importorskip("faiss")
    vectors = clustered()
    unit = functional.normalize(vectors.double(), dim=1)
    expected = {
        (i, j): float(unit[i] @ unit[j])
        for i in range(60)
        for j in range(i + 1, 60)
        if unit[i] @ unit[j] >= threshold
    }
    found = {}
    for pairs in search(vectors, threshold, block=block):  # type: ignore[call-arg]
        for first, second, similarity in zip(*(p.tolist() for p in pairs), strict=True):
            assert (first, second) not in found
            found[first, second] = similarity
    assert len(found) > 50
    assert found == {pair: pytest.approx(s, abs=1e-5) for pair, s in expected.items()}


def test_groups_are_connected_components() -> None:
    def pairs(*edges: tuple[int, int]) -> Pairs:
        first, second = torch.tensor(edges).T
        return Pairs(first, second, torch.ones(len(edges)))

    assert groups(8, [pairs((1, 2), (5, 6)), pairs((2, 4), (0, 7))]) == [[0, 7], [1, 2, 4], [5, 6]]
    assert groups(4, [pairs((2, 3)), pairs((0, 1)), pairs((1, 3))]) == [[0, 1, 2, 3]]
    assert groups(3, []) == []


@pytest.mark.parametrize("search", SEARCHES)
def test_a_threshold_out_of_range(search: Search) -> None:
    if search is similar_pairs_by_faiss:
        pytest.importorskip("faiss")
    for threshold in (0.0, 1.01, -0.5, float("nan")):
        with pytest.raises(ValueError, match=r"threshold must lie within 0\.\.1"):
            next(iter(search(clustered(), threshold)))
    assert list(search(clustered(1), 0.5)) == []
