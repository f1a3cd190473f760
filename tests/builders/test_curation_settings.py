import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from msgspec.structs import replace

from stable_audio_open.config.curation import (
    CurationConfig,
    DuplicatesConfig,
    FolderSourceConfig,
    MusicConfig,
    NearCopiesConfig,
    PromptExamplesConfig,
    SearchConfig,
    SetConfig,
)
from stable_audio_open.curation.catalogue.decisions import Decision, read_decisions
from stable_audio_open.jobs.curate import run_curation
from stable_audio_open.settings import ScanSettings
from tests.needs import needs_musicnn

RATE = 16000
LEVELS = {"loud": 0.3, "soft": 0.1, "faint": 0.01}


@pytest.fixture
def config(tmp_path: Path, loudness_panns: Path) -> CurationConfig:
    """Three recordings, of which the faint one is silent by these settings; none is licensed."""
    audio = tmp_path / "audio"
    audio.mkdir()
    random = np.random.default_rng(0)
    for name, level in LEVELS.items():
        samples = level * random.uniform(-1, 1, (4 * RATE, 1))
        soundfile.write(audio / f"{name}.wav", samples, RATE)
        text = {"title": name, "author": "ann", "tags": ["noise"]}
        (audio / f"{name}.json").write_text(json.dumps(text))
    # Of names that are alike to 86 and 89 of 100.
    (tmp_path / "works.csv").write_text("artist,title\nanna,softy\n")
    return CurationConfig(
        name="unusual",
        audio=str(audio),
        output=str(tmp_path / "out"),
        sources=(FolderSourceConfig(),),
        scan=ScanSettings(most_channels=1, silence_db=-30.0),
        music=MusicConfig(
            tagger=f"panns:{loudness_panns}",
            threshold=0.35,
            seconds=2.5,
            counting="contiguous",
            classes=("Speech", "Music"),
        ),
        search=SearchConfig(list=str(tmp_path / "works.csv"), threshold=85),
        duplicates=DuplicatesConfig(),
        prompts=PromptExamplesConfig(show=1, seed=7),
        set=SetConfig(
            form="shards",
            seed=11,
            recordings_per_shard=1,
            chunks=True,
            chunk_seconds=0.5,
            chunks_per_recording=2,
            allow_unlicensed=True,
        ),
        changes="turned into latents",
    )


def decided(config: CurationConfig, stage: str) -> list[Decision]:
    return [d for d in read_decisions(Path(config.output)) if d.stage == stage]


def run(config: CurationConfig) -> dict[str, str]:
    return {done.stage: done.counts for done in run_curation(config)}


@pytest.mark.slow
def test_every_stage_takes_its_settings(config: CurationConfig) -> None:
    with pytest.raises(ValueError, match=r"no recording stands \(1 drop, 2 review\)"):
        run(config)
    [faint] = [d for d in decided(config, "audio") if d.verdict == "drop"]
    assert faint.id == "folder:faint.wav"
    assert faint.reason.startswith("silent: peak -4")
    gated = decided(config, "music")
    by = "threshold 0.35, 2.5 s contiguous, classes: Speech, Music"
    assert {d.id for d in gated} == {"folder:loud.wav", "folder:soft.wav"}
    assert all(d.by.endswith(by) for d in gated)
    [found] = decided(config, "search")
    assert (found.id, found.verdict) == ("folder:soft.wav", "review")
    assert found.by.endswith("threshold 85")


def test_the_set_takes_its_settings(config: CurationConfig) -> None:
    stages = run(replace(config, music=None, search=None))
    assert "licences" not in stages
    out = Path(config.output)
    settings: Any = json.loads((out / "set/set.json").read_bytes())["settings"]
    assert (settings["form"], settings["seed"]) == ("shards", 11)
    assert (settings["per_shard"], settings["allow_unlicensed"]) == (1, True)
    assert (settings["chunks"]["seconds"], settings["chunks"]["most"]) == (0.5, 2)
    assert len(list((out / "set").glob("shard-*.tar"))) == 2
    assert len((out / "prompts.txt").read_text().splitlines()) == 1
    assert "turned into latents" in (out / "set/ATTRIBUTIONS.md").read_text()


@needs_musicnn
def test_near_copies_take_their_settings(config: CurationConfig) -> None:
    near = NearCopiesConfig(embedder="musicnn:MSD_musicnn", threshold=0.05)
    run(replace(config, music=None, search=None, duplicates=DuplicatesConfig(near=near)))
    decisions = decided(config, "duplicates")
    assert decisions
    assert {d.verdict for d in decisions} == {"review"}
    assert all("MSD_musicnn" in d.by and d.by.endswith("threshold 0.05") for d in decisions)


@pytest.mark.parametrize("part", ["tagger", "embedder"])
def test_networks_compute_on_their_device(config: CurationConfig, part: str) -> None:
    if part == "tagger":
        music: Any = config.music
        changed = replace(config, music=replace(music, device="nowhere"))
    else:
        near = NearCopiesConfig(embedder="log-mel", device="nowhere", threshold=0.5)
        changed = replace(config, duplicates=DuplicatesConfig(near=near))
    with pytest.raises(ValueError, match="nowhere"):
        run(changed)
    assert not Path(config.output).exists()
