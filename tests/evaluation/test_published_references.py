"""Reference statistics as the authors of the metrics publish them: an .npz and a pickle."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.evaluation.frechet.distance import evaluate_frechet
from stable_audio_open.evaluation.kl import DEFINITIONS, evaluate_kl
from tests.function_embedder import FunctionEmbedder

pytestmark = pytest.mark.numerical

RATE, CLASSES = 8000, 5


def levels(mono: Tensor) -> Tensor:
    """Two numbers of each tenth of a second, and as many again of the other channel."""
    tenths = mono.unfold(0, RATE // 10, RATE // 10)
    return torch.stack([tenths.std(dim=1), tenths.diff(dim=1).std(dim=1)], dim=1)


EMBEDDER = FunctionEmbedder(name="levels", sample_rate=RATE, function=levels)


class Tagger:
    """Takes samples for logits: each window is one sample for each class."""

    name = "wave"
    sample_rate = RATE
    definition = "windows of 5 samples"

    def logits(self, mono: Tensor) -> Tensor:
        return 5 * mono.reshape(-1, CLASSES)


@pytest.fixture
def sets(tmp_path: Path) -> tuple[Path, Path]:
    """Generations and references of the same three ids."""
    generator = torch.Generator().manual_seed(0)
    for folder, level in (("made", 0.1), ("references", 0.2)):
        (tmp_path / folder).mkdir()
        for name in ("11", "12", "13"):
            samples = level * torch.randn(2 * RATE, 2, generator=generator)
            samples[::3] *= 0.5 + torch.rand((), generator=generator)
            soundfile.write(tmp_path / folder / f"{name}.wav", samples.numpy(), RATE, "FLOAT")
    return tmp_path / "made", tmp_path / "references"


def statistics(folder: Path) -> dict[str, np.ndarray]:
    """Mean and covariance of all windows by NumPy."""
    rows = []
    for path in sorted(folder.iterdir()):
        samples = torch.from_numpy(soundfile.read(path, dtype="float32")[0].T)
        samples = samples * (10 ** (-1 / 20) / samples.abs().max())
        rows.append(torch.cat([levels(side) for side in samples], dim=1))
    windows = torch.cat(rows).double().numpy()
    return {"mu_ref": windows.mean(axis=0), "sigma_ref": np.cov(windows, rowvar=False)}


def probabilities(folder: Path) -> dict[str, Tensor]:
    """Softmax of the mean logits of each recording."""
    found = {}
    for path in sorted(folder.iterdir()):
        mono = torch.from_numpy(soundfile.read(path, dtype="float32")[0]).mean(dim=1)
        mono = mono * (10 ** (-1 / 20) / mono.abs().max())
        found[path.stem] = Tagger().logits(mono).mean(dim=0).softmax(dim=0)
    return found


def test_statistics_stand_for_the_recordings_of_a_reference(
    sets: tuple[Path, Path], tmp_path: Path
) -> None:
    made, references = sets
    np.savez(tmp_path / "reference.npz", **statistics(references))
    found = evaluate_frechet(made, tmp_path / "reference.npz", EMBEDDER)
    expected = evaluate_frechet(made, references, EMBEDDER)
    assert found.distance == pytest.approx(expected.distance, rel=1e-6)
    assert found.distance > 1e-5
    assert found.extrapolated is not None
    assert expected.extrapolated is not None
    assert found.extrapolated.distance == pytest.approx(expected.extrapolated.distance, rel=1e-6)
    assert found.contributions == pytest.approx(expected.contributions, rel=1e-5)
    assert found.definition == expected.definition
    assert found.reference == str(tmp_path / "reference.npz")
    assert (found.reference_files, found.reference_windows) == (None, None)
    assert (found.files, found.windows, found.missing, found.extra) == (3, 60, (), ())
    few = evaluate_frechet(made, tmp_path / "reference.npz", EMBEDDER, channels="stereo", points=0)
    assert few.caution is None


def archive(**arrays: Any) -> Callable[[Path], None]:
    return lambda path: np.savez(path, **arrays)


def promising(path: Path) -> None:
    """A header of 8 TB, and nothing behind it."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    )
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("mu_ref.npy", header.getvalue())


COVARIANCE = np.array([[2.0, 0.5], [0.5, 1.0]])
MEAN = np.zeros(2)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: path.write_bytes(b"RIFF"), "File is not a zip file"),
        (lambda path: None, "No such file or directory"),
        (archive(mu=MEAN, sigma=COVARIANCE), "no item named 'mu_ref.npy' in the archive"),
        (archive(mu_ref=MEAN), "no item named 'sigma_ref.npy' in the archive"),
        (archive(mu_ref=MEAN.astype(object), sigma_ref=COVARIANCE), "mu_ref holds object, no"),
        (archive(mu_ref=MEAN, sigma_ref=COVARIANCE[0]), "sigma_ref has the shape [2]; allowed: 2"),
        (archive(mu_ref=MEAN, sigma_ref=np.eye(3)), "mu_ref has 2 numbers, sigma_ref 3 x 3"),
        (archive(mu_ref=MEAN + np.nan, sigma_ref=COVARIANCE), "a number is NaN or infinite"),
        (archive(mu_ref=MEAN, sigma_ref=np.triu(COVARIANCE)), "sigma_ref is not symmetric"),
        (archive(mu_ref=MEAN, sigma_ref=-COVARIANCE), "sigma_ref has negative eigenvalues"),
        (promising, "mu_ref has the shape [1000000000000]; allowed: 1 dimensions of at most 8192"),
    ],
)
def test_other_archives_are_refused_in_a_line(
    write: Callable[[Path], Any], reason: str, sets: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "reference.npz"
    write(path)
    with pytest.raises(ValueError, match=r"^\S+: not statistics of a reference set \(") as error:
        evaluate_frechet(sets[0], path, EMBEDDER)
    assert reason in str(error.value)
    assert str(error.value).endswith(
        "allowed: an .npz with mu_ref and sigma_ref, or what --cache made"
    )
    assert "\n" not in str(error.value)


def test_statistics_of_another_width_and_a_cache_of_them_are_refused(
    sets: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "reference.npz"
    np.savez(path, mu_ref=MEAN, sigma_ref=COVARIANCE)
    with pytest.raises(
        ValueError,
        match=r"of vectors of 2 numbers, and levels with stereo channels gives 4; use",
    ):
        evaluate_frechet(sets[0], path, EMBEDDER)
    with pytest.raises(ValueError, match=r"reference\.npz: holds statistics already; leave the"):
        evaluate_frechet(sets[0], path, EMBEDDER, cache=tmp_path / "cache.safetensors")


@pytest.mark.parametrize("name", ["paper", "reverse"])
@pytest.mark.parametrize("kept", ["tensors", "arrays"])
def test_probabilities_stand_for_the_recordings_of_a_reference(
    kept: str, name: str, sets: tuple[Path, Path], tmp_path: Path
) -> None:
    made, references = sets
    path = tmp_path / "reference.pkl"
    found: dict[str, Any] = dict(probabilities(references))
    if kept == "arrays":
        found = {name: one.numpy() for name, one in found.items()}
    path.write_bytes(pickle.dumps(found))
    result = evaluate_kl(made, path, Tagger(), definition=DEFINITIONS[name])
    expected = evaluate_kl(made, references, Tagger(), definition=DEFINITIONS[name])
    assert result.per_file == pytest.approx(expected.per_file, rel=1e-3)
    assert min(result.per_file.values()) > 1e-5
    assert (result.definition, result.files) == (expected.definition, 3)
    assert result.reference == str(path)


def test_ids_are_matched_as_those_of_recordings(sets: tuple[Path, Path], tmp_path: Path) -> None:
    made, references = sets
    path = tmp_path / "reference.pkl"
    ids = {"11": "clip a", "12": "clip b", "13": "clip b"}
    known = probabilities(references)
    path.write_bytes(pickle.dumps({"clip a": known["11"], "clip b": known["12"], "9": known["13"]}))
    with pytest.raises(ValueError, match="shares no id with"):
        evaluate_kl(made, path, Tagger())
    found = evaluate_kl(made, path, Tagger(), clips=ids)
    assert (found.files, found.missing, found.extra) == (3, (), ())
    path.write_bytes(pickle.dumps({11: known["11"], 12: known["12"], 99: known["13"]}))
    with pytest.raises(ValueError, match="lacks '99' of"):
        evaluate_kl(made, path, Tagger())
    found = evaluate_kl(made, path, Tagger(), allow_missing=True)
    assert (found.files, found.missing, found.extra) == (2, ("99",), ("13",))


EVEN = [1 / CLASSES] * CLASSES


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is damaged or no pickle"),
        (pickle.dumps({}), "it holds no recordings"),
        (pickle.dumps({"11": [0.5, 0.25]}), "for '11' it holds numbers that are no distribution"),
        (pickle.dumps({"11": [1.5, -0.5]}), "for '11' it holds numbers that are no distribution"),
        (pickle.dumps({"11": np.full(5, np.nan)}), "for '11' it holds numbers that are no distrib"),
        (pickle.dumps({"11": np.eye(2)}), "for '11' it holds numbers of the shape [2, 2]"),
        (pickle.dumps({"11": EVEN, "12": [1.0]}), "for '12' it holds numbers of the shape [1]"),
        (pickle.dumps({"11": EVEN, "12": [0.5, 0.5]}), "for '12' it holds 2 classes, at first 5"),
        (pickle.dumps({"11": pytest.approx}), "which is not run"),
    ],
)
def test_other_pickles_are_refused_in_a_line(
    content: bytes, reason: str, sets: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "reference.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"not the probabilities of a reference set \(") as error:
        evaluate_kl(sets[0], path, Tagger())
    assert reason in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_what_does_not_go_with_probabilities_is_refused(
    sets: tuple[Path, Path], tmp_path: Path
) -> None:
    path = tmp_path / "reference.pkl"
    path.write_bytes(pickle.dumps({"11": [0.5, 0.5], "12": [0.5, 0.5], "13": [0.5, 0.5]}))
    with pytest.raises(ValueError, match=r"holds 2 classes, and wave knows 5; use the tagger that"):
        evaluate_kl(sets[0], path, Tagger())
    with pytest.raises(ValueError, match=r"is of mean logits, and .* windows is asked for; use"):
        evaluate_kl(sets[0], path, Tagger(), definition=DEFINITIONS["windows"])
    with pytest.raises(ValueError, match=r"nowhere\.pkl: cannot be read \(No such file"):
        evaluate_kl(sets[0], tmp_path / "nowhere.pkl", Tagger())
