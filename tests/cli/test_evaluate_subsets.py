"""Subsets of a protocol are measured on what was heard once, with the figures of each alone."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from stable_audio_open.evaluation import reconstruction
from stable_audio_open.evaluation.clap import evaluate_clap, read_prompts
from stable_audio_open.evaluation.distances import Distances
from stable_audio_open.evaluation.frechet.distance import evaluate_frechet
from stable_audio_open.evaluation.generations.sets import SetFile
from stable_audio_open.evaluation.kl import evaluate_kl
from stable_audio_open.evaluation.protocols.comparisons import FolderMetric
from stable_audio_open.evaluation.protocols.protocol import ALL
from stable_audio_open.evaluation.protocols.song_describer import NO_SINGING
from stable_audio_open.evaluation.reconstruction import evaluate_decoded
from stable_audio_open.evaluation.report.published import Kind
from stable_audio_open.evaluation.result import Result, to_json
from stable_audio_open.jobs.protocol.generations import generation_files
from stable_audio_open.jobs.protocol.make import MadeSet
from stable_audio_open.jobs.protocol.measure import measure_sets
from stable_audio_open.jobs.protocol.metrics import metrics_by
from stable_audio_open.jobs.protocol.request import Asked, GenerationsRequest, check_generations
from stable_audio_open.jobs.protocol.work import clip_files

pytestmark = pytest.mark.numerical

RATE, WINDOW, CLASSES = 8000, 2000, 527
CAPTIONS = [  # of track 1 there are three, of track 3 two
    ("11", "1", "A piano"),
    ("12", "1", "A choir with piano"),
    ("13", "1", "Soft keys"),
    ("21", "2", "A singer"),
    ("31", "3", "Drums"),
    ("32", "3", "Bass and drums"),
    ("41", "4", "Strings"),
]
TRACKS = ("1", "2", "3", "4")
PLAYED = ("11", "13", "31", "32", "41")
"""Captions without singing; they are of tracks 1, 3 and 4."""


class Listener:
    """A random layer behind windows of 0.25 s that counts what it hears."""

    sample_rate = RATE
    definition = "windows of 0.25 s"

    def __init__(self, *, width: int, seed: int) -> None:
        self.name = f"random {width} {seed}"
        generator = torch.Generator().manual_seed(seed)
        self.weight = torch.randn(WINDOW, width, generator=generator)
        self.heard: Counter[bytes] = Counter()
        self.read: Counter[str] = Counter()

    def __call__(self, mono: Tensor) -> Tensor:
        self.heard[mono.numpy().tobytes()] += 1
        return mono.unfold(0, WINDOW, WINDOW) @ self.weight

    def embed_text(self, prompts: Sequence[str]) -> Tensor:
        self.read.update(prompts)
        rows = [torch.tensor([float(len(p)), *map(float, p.encode()[:3])]) for p in prompts]
        return torch.stack(rows)


class ClipListener(Listener):
    """The same as a tagger."""

    def logits(self, mono: Tensor) -> Tensor:
        return self(mono)


def noise(folder: Path, names: Sequence[str], *, seed: int) -> dict[str, Path]:
    """Stereo recordings of 1 s and more."""
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    for index, name in enumerate(names):
        samples = 0.1 * torch.randn(RATE + WINDOW * index, 2, generator=generator)
        soundfile.write(folder / f"{name}.flac", samples.numpy(), RATE)
    return {name: folder / f"{name}.flac" for name in names}


def results(
    tmp_path: Path,
    kind: Kind,
    items: Sequence[SetFile],
    references: dict[str, Path],
    metrics: dict[str, FolderMetric],
) -> dict[str, bytes]:
    """Measure all subsets, and return the files of results by subset and metric."""
    made = MadeSet(kind, tmp_path / "made", items, references)
    measured = measure_sets([made], all_captions(tmp_path), metrics)
    return {
        path.relative_to(tmp_path / "made" / "results").as_posix(): path.read_bytes()
        for one in measured
        for path in one.found.results
    }


def all_captions(tmp_path: Path) -> Asked:
    rows = "".join(f"{name},{track},{text}\n" for name, track, text in CAPTIONS)
    (tmp_path / "prompts.csv").write_text(f"caption_id,track_id,caption\n{rows}")
    request = GenerationsRequest(
        model="none", prompts=tmp_path / "prompts.csv", protocol="song-describer", output=tmp_path
    )
    return check_generations(request)


def test_generations_are_heard_once_for_all_subsets(tmp_path: Path) -> None:
    ids = [name for name, _, _ in CAPTIONS]
    noise(tmp_path / "made", ids, seed=0)
    references = noise(tmp_path / "tracks", TRACKS, seed=1)
    items = generation_files(all_captions(tmp_path).prompts, list(range(len(ids))))
    embedder, tagger = Listener(width=5, seed=0), ClipListener(width=CLASSES, seed=1)
    joint = Listener(width=4, seed=2)
    metrics = metrics_by(embedder=embedder, tagger=tagger, joint=joint)
    found = results(tmp_path, "generation", items, references, metrics)

    assert set(embedder.heard.values()) == {1}
    assert len(embedder.heard) == 2 * (len(ids) + len(TRACKS))  # left and right
    assert set(tagger.heard.values()) == {1}
    assert len(tagger.heard) == len(ids) + len(TRACKS)
    assert set(joint.heard.values()) == {1}
    assert len(joint.heard) == len(ids)
    assert joint.read == Counter(text for _, _, text in CAPTIONS)

    alone = {}
    for subset in (ALL, NO_SINGING):
        folder = tmp_path / "comparisons" / f"generation-{subset}"
        made, table = folder / "made", folder / "prompts.csv"
        judged: dict[str, Result] = {
            "frechet": evaluate_frechet(
                made, folder / "references", embedder, paired=False, points=0
            ),
            "kl": evaluate_kl(made, folder / "pairs", tagger, allow_missing=True),
            "clap": evaluate_clap(made, read_prompts(table), joint, source=str(table)),
        }
        assert [judged[name].files for name in judged] == [
            len(ids if subset == ALL else PLAYED)
        ] * 3
        alone |= {f"{subset}/{name}.json": to_json(result) for name, result in judged.items()}
    assert found == alone


def test_reconstructions_are_measured_once_for_all_subsets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise(tmp_path / "made", TRACKS, seed=0)
    references = noise(tmp_path / "tracks", TRACKS, seed=1)
    measure, calls = reconstruction.reconstruction_distances, list[int]()

    def counted(decoded: Tensor, original: Tensor, *, sample_rate: int) -> Distances:
        calls.append(decoded.shape[-1])
        return measure(decoded, original, sample_rate=sample_rate)

    monkeypatch.setattr(reconstruction, "reconstruction_distances", counted)
    found = results(tmp_path, "reconstruction", clip_files(TRACKS), references, metrics_by())
    assert len(calls) == len(TRACKS)
    alone = {}
    for subset, files in ((ALL, 4), (NO_SINGING, 3)):
        folder = tmp_path / "comparisons" / f"reconstruction-{subset}"
        result = evaluate_decoded(folder / "made", folder / "pairs", sample_rate=44100, channels=2)
        assert result.files == files
        alone[f"{subset}/reconstruction.json"] = to_json(result)
    assert found == alone
