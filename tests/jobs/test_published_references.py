"""A protocol without the recordings of its references: published statistics stand for them."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.evaluation.protocols.protocol import ALL
from stable_audio_open.evaluation.protocols.song_describer import NO_SINGING
from stable_audio_open.jobs.protocol.generations import generation_files
from stable_audio_open.jobs.protocol.make import MadeSet
from stable_audio_open.jobs.protocol.measure import MeasuredFolders, measure_sets
from stable_audio_open.jobs.protocol.metrics import PublishedReferences, metrics_by
from stable_audio_open.jobs.protocol.request import Asked, ProtocolRequest, check_protocol
from tests.function_embedder import FunctionEmbedder

RATE = 8000
CAPTIONS = [("11", "1", "A piano"), ("12", "1", "A choir"), ("21", "2", "Drums")]


def tenths(mono: Tensor) -> Tensor:
    pieces = mono.unfold(0, RATE // 10, RATE // 10)
    return torch.stack([pieces.std(dim=1), pieces.diff(dim=1).std(dim=1)], dim=1)


class Tagger:
    name = "three classes"
    sample_rate = RATE
    definition = "whole"

    def logits(self, mono: Tensor) -> Tensor:
        return torch.stack([mono.std(), mono.amax(), mono.amin()])[None]


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """A request for captions of which generations are there, and published statistics."""
    rows = "".join(f"{name},{track},{text}\n" for name, track, text in CAPTIONS)
    (tmp_path / "prompts.csv").write_text(f"caption_id,track_id,caption\n{rows}")
    (tmp_path / "made").mkdir()
    generator = torch.Generator().manual_seed(0)
    for name, _, _ in CAPTIONS:
        noise = 0.1 * torch.randn(RATE, 2, generator=generator)
        soundfile.write(tmp_path / "made" / f"{name}.flac", noise.numpy(), RATE)
    np.savez(tmp_path / "all.npz", mu_ref=np.full(4, 0.1), sigma_ref=0.01 * np.eye(4))
    known = {"1": [0.5, 0.25, 0.25], "21": [0.25, 0.5, 0.25]}  # a track, and a caption
    (tmp_path / "all.pkl").write_bytes(pickle.dumps(known))
    return {
        "model": "none",
        "prompts": tmp_path / "prompts.csv",
        "protocol": "song-describer",
        "output": tmp_path / "out",
        "part": "generation",
        "frechet": "named",
        "kl": "named",
        "frechet_reference": tmp_path / "all.npz",
        "kl_reference": tmp_path / "all.pkl",
    }


def measured(asked: Asked, folder: Path) -> dict[str, MeasuredFolders]:
    embedder = FunctionEmbedder(name="tenths", sample_rate=RATE, function=tenths)
    request: Any = asked.request
    published = PublishedReferences(request.frechet_reference, request.kl_reference, request.subset)
    metrics = metrics_by(embedder=embedder, tagger=Tagger(), published=published)
    made = MadeSet("generation", folder, generation_files(asked.prompts, [0, 1, 2]), {})
    return {one.subset: one for one in measure_sets([made], asked, metrics)}


def test_statistics_of_a_subset_and_probabilities_of_all(
    given: dict[str, Any], tmp_path: Path
) -> None:
    asked = check_protocol(ProtocolRequest(**given))
    found = measured(asked, tmp_path / "made")
    assert found.keys() == {ALL, NO_SINGING}
    assert [path.stem for path in found[ALL].found.results] == ["frechet", "kl"]
    assert (found[ALL].files, found[ALL].unpaired) == (3, 0)
    frechet, kl = (json.loads(path.read_bytes()) for path in found[ALL].found.results)
    assert frechet["reference"] == str(tmp_path / "all.npz")
    assert (frechet["files"], frechet["reference_files"]) == (3, None)
    assert (kl["reference"], kl["files"], kl["missing"]) == (str(tmp_path / "all.pkl"), 3, [])
    # The statistics are of all captions; each recording has probabilities of its own.
    played = found[NO_SINGING].found
    assert [path.stem for path in played.results] == ["kl"]
    assert json.loads(played.results[0].read_bytes())["files"] == 2
    assert played.unmeasured["frechet"] == (
        f"{tmp_path}/all.npz is of the subset all, and there are no recordings"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kl": None}, "all.pkl is given as the reference of kl, which is not measured; name its"),
        ({"kl_reference": None}, "kl is compared with references; give their recordings as refe"),
        ({"frechet_reference": None}, "or published statistics as frechet_reference"),
        ({"part": "both"}, "the part both compares with recordings; give the folder of references"),
        ({"kl_reference": "all.npz"}, "all.npz: not the probabilities of a reference set"),
        ({"frechet_reference": "all.pkl"}, "all.pkl: not statistics of a reference set"),
        ({"kl_reference": "one.pkl"}, "one.pkl: lacks 1 of 3 captions, such as '21'; take the"),
        ({"kl_reference": "other.pkl"}, "other.pkl: lacks 3 of 3 captions, such as '11'; take the"),
    ],
)
def test_what_does_not_fit_is_said_before_any_work(
    change: dict[str, Any], message: str, given: dict[str, Any], tmp_path: Path
) -> None:
    for name, id_ in (("one", "1"), ("other", "7")):
        (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps({id_: [0.5, 0.25, 0.25]}))
    paths = {
        name: tmp_path / value if name.endswith("_reference") and value else value
        for name, value in change.items()
    }
    with pytest.raises(ValueError, match=message) as error:
        check_protocol(ProtocolRequest(**(given | paths)))
    assert "\n" not in str(error.value)
