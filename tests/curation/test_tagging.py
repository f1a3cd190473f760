from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stable_audio_open.audio.files import AudioFileError, read_audio
from stable_audio_open.audio_models.musicnn.network import Musicnn, MusicnnTagger
from stable_audio_open.audio_models.panns.checkpoint import load_panns
from stable_audio_open.audio_models.tagger import Tagger
from stable_audio_open.curation.catalogue.record import CatalogueRecord
from stable_audio_open.curation.music.stage import decide_music, signature
from stable_audio_open.curation.music.tagging import tag_blocks, tag_recording
from stable_audio_open.settings import MusicGate

pytestmark = pytest.mark.numerical


@pytest.fixture(params=["panns", "musicnn"])
def tagger(request: pytest.FixtureRequest, random_panns: Path) -> Tagger:
    if request.param == "panns":
        return load_panns(random_panns)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Musicnn(tags=5, timbral=4, temporal=3, middle=4, dense=5)
    return MusicnnTagger(network, classes=("drums", "rock", "slow", "a", "b"), name="small")


@pytest.mark.parametrize("seconds", [2.0, 9.6, 13.37])
def test_blocks_are_the_whole(tmp_path: Path, tagger: Tagger, seconds: float) -> None:
    rate = 22050
    noise = np.random.default_rng(0).standard_normal((round(seconds * rate), 2))
    swell = np.linspace(0, 0.2, len(noise))[:, None]
    soundfile.write(tmp_path / "a.wav", swell * noise, rate)
    whole = tagger(
        read_audio(tmp_path / "a.wav", sample_rate=tagger.sample_rate, channels=1).samples[0, 0]
    )
    blocks = list(tag_blocks(tmp_path / "a.wav", tagger, block_seconds=3.0))
    assert len(blocks) > 1 or seconds < 5
    torch.testing.assert_close(torch.cat(blocks), whole, rtol=1e-4, atol=1e-5)  # FFTs elsewhere
    heard = tag_recording(tmp_path / "a.wav", tagger, tagger.classes[:2], block_seconds=3.0)
    torch.testing.assert_close(heard.music, torch.cat(blocks)[:, :2].amax(dim=1))
    torch.testing.assert_close(heard.means, torch.cat(blocks).mean(dim=0))
    assert heard.duration == pytest.approx(seconds, abs=1 / rate)


def bursts(path: Path, pattern: str) -> None:
    """Seconds of noise (#) and silence (.)."""
    noise = 0.3 * np.random.default_rng(0).standard_normal((len(pattern), 16000))
    noise[[mark == "." for mark in pattern]] = 0
    soundfile.write(path, noise.reshape(-1), 16000)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"seconds": 7.0}, "review"),
        ({"seconds": 12.0}, "keep"),
        ({"seconds": 7.0, "counting": "contiguous"}, "keep"),
        ({"seconds": 3.0, "counting": "contiguous"}, "review"),
        ({"seconds": 3.0, "classes": ("Singing",)}, "keep"),
    ],
)
def test_decisions(
    tmp_path: Path, loudness_panns: Path, changes: dict[str, object], verdict: str
) -> None:
    tagger = load_panns(loudness_panns)
    bursts(tmp_path / "a.wav", "####....####....")
    gate = MusicGate(**changes)  # type: ignore[arg-type]
    record = CatalogueRecord(id="folder:a.wav", file="a.wav")
    decision = decide_music(record, tmp_path, tagger=tagger, gate=gate, block_seconds=2.0)
    assert (decision.id, decision.stage, decision.verdict) == ("folder:a.wav", "music", verdict)
    assert decision.by == signature(tagger, gate)
    assert "of 16.0 s with music; on average Music 0." in decision.reason


def test_no_more_music_than_audio(tmp_path: Path, loudness_panns: Path) -> None:
    bursts(tmp_path / "a.wav", "###")
    record = CatalogueRecord(id="folder:a.wav", file="a.wav")
    decision = decide_music(
        record, tmp_path, tagger=load_panns(loudness_panns), gate=MusicGate(seconds=3.0)
    )
    assert decision.reason.startswith("3.0 of 3.0 s with music")
    assert decision.verdict == "review"


def test_what_cannot_be_heard(tmp_path: Path, loudness_panns: Path) -> None:
    tagger = load_panns(loudness_panns)
    with pytest.raises(ValueError, match="fma:1: has no file"):
        decide_music(CatalogueRecord(id="fma:1"), tmp_path, tagger=tagger, gate=MusicGate())
    with pytest.raises(AudioFileError, match="no such file"):
        tag_recording(tmp_path / "a.wav", tagger)
