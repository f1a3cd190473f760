from pathlib import Path

import pytest
import soundfile
import torch
from torch.nn import functional

from stable_audio_open.audio_models.log_mel_embedder import LogMelEmbedder
from stable_audio_open.evaluation.memorisation.chunks import (
    ChunkVectors,
    chunk_starts,
    embed_chunks,
    nearest_chunks,
    similarity,
)
from stable_audio_open.similarity.embeddings import EmbeddingCache

pytestmark = pytest.mark.numerical


def random_vectors(counts: tuple[int, ...], *, seed: int) -> ChunkVectors:
    generator = torch.Generator().manual_seed(seed)
    values = functional.normalize(torch.randn(sum(counts), 5, generator=generator), dim=1)
    owners = torch.tensor([place for place, count in enumerate(counts) for _ in range(count)])
    return ChunkVectors(values, owners, torch.zeros(sum(counts)))


@pytest.mark.parametrize(
    ("duration", "starts"),
    [(0.5, [0]), (2, [0]), (2.5, [0, 0.5]), (4, [0, 2]), (5, [0, 2, 3])],
)
def test_chunks_cover_a_recording(duration: float, starts: list[float]) -> None:
    assert chunk_starts(duration, 2) == starts


@pytest.mark.parametrize("block", [1, 3, 100])
def test_nearest_is_the_largest_of_all_pairs_of_chunks(block: int) -> None:
    queries, library = (random_vectors(c, seed=i) for i, c in enumerate([(1, 3, 2), (2, 2, 1, 4)]))
    found = nearest_chunks(queries, library, block=block)
    for query in range(3):
        all_pairs = [similarity(queries, query, library, place) for place in range(4)]
        torch.testing.assert_close(float(found.similarity[query]), max(all_pairs))
        assert int(library.owners[found.other[query]]) == all_pairs.index(max(all_pairs))
        assert int(queries.owners[found.own[query]]) == query
        own, other = queries.values[found.own[query]], library.values[found.other[query]]
        cosine = functional.cosine_similarity(own.double(), other.double(), dim=0)
        torch.testing.assert_close(found.similarity[query], cosine)


def test_a_copy_has_a_cosine_of_1_whatever_float32_rounds() -> None:
    """The squares of one number 6,016 times, added in float32, are off by up to 1e-4."""
    values = torch.full((3, 6016), 6016**-0.5) * torch.tensor([[1.0], [1 - 1e-6], [1 + 1e-6]])
    copies = ChunkVectors(values, torch.arange(3), torch.zeros(3))
    exact = torch.ones(3, dtype=torch.float64)
    torch.testing.assert_close(nearest_chunks(copies, copies).similarity, exact, rtol=1e-12, atol=0)
    for place in range(3):
        assert similarity(copies, place, copies, place) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("block", [2, 100])
def test_a_recording_is_no_neighbour_of_itself(block: int) -> None:
    library = random_vectors((2, 3, 1), seed=0)
    found = nearest_chunks(library, library, same_set=True, block=block)
    for place in range(3):
        others = [similarity(library, place, library, other) for other in range(3)]
        others[place] = -1
        assert int(library.owners[found.other[place]]) == others.index(max(others))
    one = random_vectors((3,), seed=0)
    with pytest.raises(ValueError, match="a set of one recording has no neighbours"):
        nearest_chunks(one, one, same_set=True)


def test_silence_is_left_out(tmp_path: Path) -> None:
    """Of opposite sides, or above its band, an embedder hears nothing.

    A sound rings into the silence next to it when it is resampled.
    """
    rate, embedder = 48000, LogMelEmbedder()
    generator = torch.Generator().manual_seed(0)
    noise = 0.2 * (torch.rand(rate, generator=generator) - 0.5)
    nothing, faint = torch.zeros(rate), 1e-3 * (2 * torch.rand(rate, generator=generator) - 1)
    time = torch.arange(rate, dtype=torch.float64) / rate
    ultrasonic = (2 * torch.pi * 21000 * time).sin().float() * torch.hann_window(rate)
    recordings = {
        "noise.wav": torch.cat([nothing, noise, faint])[None],
        "silent.wav": torch.cat([nothing, faint])[None],
        "opposite.wav": torch.stack([noise, -noise]),
        "ultrasonic.wav": ultrasonic[None],
        "quiet.wav": 0.05 * noise[None],
    }
    for name, samples in recordings.items():
        soundfile.write(tmp_path / name, samples.T.numpy(), rate, subtype="FLOAT")
    hashes = {name: name for name in recordings}
    for _ in range(2):  # the second time, from the cache
        cache = EmbeddingCache(tmp_path / "cache", embedder.name)
        found = embed_chunks(tuple(hashes), hashes, tmp_path, embedder, cache=cache, chunk=1.0)
        assert found.files == ("noise.wav", "quiet.wav")
        assert found.silent == ("silent.wav", "opposite.wav", "ultrasonic.wav")
        assert found.silent_chunks == 2 + 2 + 1 + 1
        assert found.vectors.owners.tolist() == [0, 1]
        assert found.vectors.starts.tolist() == [1, 0]
        assert found.vectors.recordings == len(cache) == 2
    none = embed_chunks(["silent.wav"], hashes, tmp_path, embedder, cache=cache, chunk=1.0).vectors
    assert none.recordings == len(nearest_chunks(none, found.vectors).similarity) == 0


def test_vectors_cached_with_those_of_silence_are_not_taken(tmp_path: Path) -> None:
    """As they were kept before silence was left out."""
    embedder = LogMelEmbedder()
    soundfile.write(tmp_path / "silent.wav", torch.zeros(8000).numpy(), 8000)
    cache = EmbeddingCache(tmp_path / "cache", embedder.name)
    cache.add("a 0.000000 1", torch.ones(6016))
    cache.add("a 0.000000 1.000000", torch.ones(6016))
    found = embed_chunks(
        ["silent.wav"], {"silent.wav": "a"}, tmp_path, embedder, cache=cache, chunk=1.0
    )
    assert found.silent == ("silent.wav",)


def test_a_copied_part_of_a_long_recording_is_found(tmp_path: Path) -> None:
    """As a whole, the recording and its part are not alike."""
    rate, embedder = 32000, LogMelEmbedder()
    generator = torch.Generator().manual_seed(0)
    parts = []
    for hertz in (200, 500, 1100, 2500):
        beats = (torch.rand(8, generator=generator) > 0.4).float().repeat_interleave(rate // 4)
        time = torch.arange(2 * rate) / rate
        parts.append(0.5 * beats * (2 * torch.pi * hertz * time).sin())
    soundfile.write(tmp_path / "long.wav", torch.cat(parts).numpy(), rate)
    soundfile.write(tmp_path / "part.wav", parts[2].numpy(), rate)
    hashes = {"long.wav": "a", "part.wav": "b"}

    def cosine(chunk: float) -> tuple[float, float]:
        cache = EmbeddingCache(tmp_path / f"{chunk}", embedder.name)
        made = [
            embed_chunks([name], hashes, tmp_path, embedder, cache=cache, chunk=chunk).vectors
            for name in hashes
        ]
        again = EmbeddingCache(tmp_path / f"{chunk}", embedder.name)
        assert len(again) == len(cache)
        found = nearest_chunks(made[1], made[0])
        return float(found.similarity[0]), float(made[0].starts[found.other[0]])

    value, start = cosine(2.0)
    assert (round(value, 3), start) == (1.0, 4.0)
    assert cosine(10.0)[0] < 0.8
