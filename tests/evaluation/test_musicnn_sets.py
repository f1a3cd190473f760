"""Whole evaluations by the real weights of musicnn."""

import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file

from stable_audio_open.audio_models.musicnn.network import (
    MusicnnEmbedder,
    MusicnnTagger,
    load_musicnn,
)
from stable_audio_open.evaluation.frechet.distance import FrechetResult, evaluate_frechet
from stable_audio_open.evaluation.kl import DEFINITIONS, KlResult, evaluate_kl
from stable_audio_open.evaluation.result import to_json
from stable_audio_open.evaluation.weights import weights_hash
from tests.function_embedder import FunctionEmbedder
from tests.needs import needs_musicnn

pytestmark = [pytest.mark.slow, needs_musicnn]


@pytest.fixture(scope="module")
def tagger() -> MusicnnTagger:
    return load_musicnn()


@pytest.fixture(scope="module")
def embedder(tagger: MusicnnTagger) -> MusicnnEmbedder:
    return MusicnnEmbedder(tagger)


@pytest.fixture(scope="module")
def frechet(folders: dict[str, Path], embedder: MusicnnEmbedder) -> dict[str, FrechetResult]:
    return {
        name: evaluate_frechet(folder, folders["same"], embedder, points=0)
        for name, folder in folders.items()
    }


@pytest.fixture(scope="module")
def kl(folders: dict[str, Path], tagger: MusicnnTagger) -> dict[str, KlResult]:
    return {name: evaluate_kl(folder, folders["same"], tagger) for name, folder in folders.items()}


ORDER = ["same", "low-passed", "noisy", "silent"]


def test_worse_sets_are_further_away(frechet: dict[str, FrechetResult]) -> None:
    distances = {name: result.distance for name, result in frechet.items()}
    assert sorted(ORDER, key=distances.__getitem__) == ORDER
    assert distances["same"] < 1e-6 * distances["low-passed"]


def test_worse_recordings_are_heard_less_alike(kl: dict[str, KlResult]) -> None:
    divergences = {name: result.divergence for name, result in kl.items()}
    assert sorted(ORDER, key=divergences.__getitem__) == ORDER
    assert -50e-6 < divergences["same"] < 0


def test_results_say_what_they_were_made_of(
    folders: dict[str, Path],
    frechet: dict[str, FrechetResult],
    kl: dict[str, KlResult],
) -> None:
    for result, channels in ((frechet["silent"], 2), (kl["silent"], 1)):
        assert str(result.checkpoint).startswith("musicnn MTT_musicnn sha256:")
        assert result.checkpoint_hash
        assert (result.sample_rate, result.channels, result.files) == (16000, channels, 24)
        assert result.windows == 28
        assert len(result.silent) == 24
        assert result.reference == str(folders["same"])
        assert (result.missing, result.extra) == ((), ())
        again = msgspec.json.decode(to_json(result), type=type(result))
        assert again == result


def test_the_same_again_is_the_same_to_the_bit(
    folders: dict[str, Path], embedder: MusicnnEmbedder, tmp_path: Path
) -> None:
    for index in range(10):
        shutil.copy(folders["noisy"] / f"sound_{index:02}.wav", tmp_path)
    cache = tmp_path / "itself.safetensors"
    once, again, other = (
        evaluate_frechet(tmp_path, tmp_path, embedder, points=3, seed=seed, cache=cache)
        for seed in (3, 3, 4)
    )
    assert to_json(once) == to_json(again)
    assert (other.distance, other.seed) == (once.distance, 4)
    assert other.extrapolated != once.extrapolated


def test_a_strange_file_contributes_most(
    folders: dict[str, Path], embedder: MusicnnEmbedder, tmp_path: Path
) -> None:
    mixed = tmp_path / "mixed"
    shutil.copytree(folders["same"], mixed)
    shutil.copy(folders["silent"] / "sound_07.wav", mixed)
    found = evaluate_frechet(mixed, folders["same"], embedder, points=0)
    assert max(found.contributions, key=found.contributions.__getitem__) == "sound_07"
    assert found.silent == ("sound_07",)


def test_statistics_of_the_reference_are_kept_and_stand_for_it(
    folders: dict[str, Path],
    embedder: MusicnnEmbedder,
    frechet: dict[str, FrechetResult],
    tmp_path: Path,
) -> None:
    cache = tmp_path / "same.safetensors"
    noisy, same = folders["noisy"], folders["same"]
    made = evaluate_frechet(noisy, same, embedder, cache=cache, points=0)
    assert made == frechet["noisy"]
    assert {name: list(one.shape) for name, one in load_file(cache).items()} == {
        "mean": [400],
        "covariance": [400, 400],
        "count": [1],
    }
    written = cache.stat().st_mtime_ns
    assert evaluate_frechet(noisy, same, embedder, cache=cache, points=0) == made
    alone = evaluate_frechet(noisy, cache, embedder, points=0)
    assert msgspec.structs.replace(alone, reference=made.reference) == made
    assert cache.stat().st_mtime_ns == written

    with pytest.raises(ValueError, match=r"same\.safetensors: was made of other recordings \(24"):
        evaluate_frechet(noisy, folders["silent"], embedder, cache=cache, points=0)
    with pytest.raises(ValueError, match=r"was made by musicnn MTT.*, stereo\), not by .*, mono\)"):
        evaluate_frechet(noisy, same, embedder, cache=cache, channels="mono", points=0)
    other = FunctionEmbedder(name="rows", sample_rate=16000, function=lambda mono: mono[None, :3])
    with pytest.raises(ValueError, match=r"not by rows \(weights unknown, stereo\); name another"):
        evaluate_frechet(noisy, cache, other, points=0)
    cache.write_bytes(b"nothing")
    with pytest.raises(
        ValueError, match=r"not statistics of a reference set \(.*make them with --"
    ):
        evaluate_frechet(noisy, cache, embedder, points=0)


def test_ids_that_are_missing_are_refused_or_told(
    folders: dict[str, Path], embedder: MusicnnEmbedder, tagger: MusicnnTagger, tmp_path: Path
) -> None:
    part = tmp_path / "part"
    shutil.copytree(folders["same"], part)
    (part / "sound_00.wav").unlink()
    (part / "sound_01.wav").rename(part / "other.wav")
    with pytest.raises(ValueError, match=r"part: lacks 'sound_00', 'sound_01' of .*same; add them"):
        evaluate_kl(part, folders["same"], tagger)
    pair = evaluate_kl(part, folders["same"], tagger, allow_missing=True)
    assert (pair.files, pair.missing, pair.extra) == (22, ("sound_00", "sound_01"), ("other",))
    assert "other" not in pair.per_file
    whole = evaluate_frechet(part, folders["same"], embedder, allow_missing=True, points=0)
    assert (whole.files, whole.reference_files, whole.extra) == (23, 24, ("other",))
    assert "other" in whole.contributions


def test_other_definitions_give_other_figures_and_say_so(
    folders: dict[str, Path], tagger: MusicnnTagger, kl: dict[str, KlResult], tmp_path: Path
) -> None:
    for name in ("same", "noisy"):
        (tmp_path / name).mkdir()
        for index in range(4):  # those of two windows
            shutil.copy(folders[name] / f"sound_{index:02}.wav", tmp_path / name)
    found = {
        name: evaluate_kl(tmp_path / "noisy", tmp_path / "same", tagger, definition=definition)
        for name, definition in DEFINITIONS.items()
    }
    whole = kl["noisy"].per_file
    assert found["paper"].per_file == {name: whole[name] for name in found["paper"].per_file}
    assert len({round(result.divergence, 6) for result in found.values()}) == 4
    assert found["reverse"].definition.startswith("KL(reference || generated)")


def test_the_hash_of_weights_follows_their_values_alone() -> None:
    first, second = load_musicnn(), load_musicnn()
    digest = weights_hash(first)
    assert digest is not None
    assert len(digest) == 16
    assert weights_hash(second) == weights_hash(MusicnnEmbedder(second)) == digest
    assert weights_hash(load_musicnn("MSD_musicnn")) != digest
    with torch.no_grad():
        second.network.dense.weight[0, 0] += 1
    assert weights_hash(second) != digest
