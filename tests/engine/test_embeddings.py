from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch

from stable_audio_open.audio.files import AudioFileError
from stable_audio_open.audio_models.embedder import Embedder
from stable_audio_open.engine.processes import SeveralProcesses
from stable_audio_open.similarity.embeddings import EmbeddingCache, embed_files

pytestmark = pytest.mark.numerical


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Recordings of noise; the first twice."""
    generator = np.random.default_rng(0)
    for number in range(5):
        noise = 0.1 * generator.standard_normal((16000, 2))
        soundfile.write(tmp_path / f"{number}.wav", noise, 16000)
    return ["0.wav", "1.wav", "0.wav", *(f"{number}.wav" for number in range(2, 5))]


@pytest.mark.slow
@pytest.mark.parametrize("loaded", [True, False])
def test_workers_embed_as_one_does(
    stages: ModuleType, tmp_path: Path, files: list[str], loaded: bool
) -> None:
    embedder = stages.spectrum_embedder()
    load: Callable[[], Embedder] | None = stages.spectrum_embedder if loaded else None
    hashes = {file: f"hash of {file}" for file in files}
    caches = [EmbeddingCache(tmp_path / f"cache{number}", "spectrum") for number in range(2)]
    alone = embed_files(files, hashes, tmp_path, embedder, cache=caches[0])
    shared = embed_files(
        files, hashes, tmp_path, embedder, cache=caches[1], engine=SeveralProcesses(2), load=load
    )
    torch.testing.assert_close(shared, alone)
    assert [len(cache) for cache in caches] == [5, 5]
    assert len(EmbeddingCache(tmp_path / "cache1", "spectrum")) == 5


@pytest.mark.slow
def test_an_unreadable_file_keeps_what_was_embedded(
    stages: ModuleType, tmp_path: Path, files: list[str]
) -> None:
    (tmp_path / "3.wav").write_text("this is not a recording")
    hashes = {file: f"hash of {file}" for file in files}
    cache = EmbeddingCache(tmp_path / "cache", "spectrum")
    with pytest.raises(AudioFileError, match=r"3\.wav: not a readable audio file"):
        embed_files(
            files,
            hashes,
            tmp_path,
            stages.spectrum_embedder(),
            cache=cache,
            engine=SeveralProcesses(2),
        )
    assert len(EmbeddingCache(tmp_path / "cache", "spectrum")) == 3
