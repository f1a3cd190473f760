"""What a run tells of recordings that have changed since it was interrupted."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stable_audio_open.config.data import ShardsConfig
from stable_audio_open.data.manifest import Recording
from stable_audio_open.jobs.encode import run_encoding
from stable_audio_open.jobs.train import run_training
from stable_audio_open.training.callbacks.listed_recordings import changes, listing

Change = Callable[..., Any]


def listed(*files: str, **captions: str) -> dict[str, str]:
    return listing(
        [Recording(file=file, caption=captions.get(file, f"a {file}")) for file in files]
    )


@pytest.mark.parametrize(
    ("now", "told"),
    [
        (listed("a", "b", "c"), ""),
        (listed("a", "b", "c", "d", "e"), "2 added (d, e)"),
        (listed("b"), "2 gone (a, c)"),
        (listed("a", "b", "c", b="another"), "1 described otherwise (b)"),
        (listed("b", "a", "c"), "listed in another order"),
        (listed("b", "d", b="x"), "1 added (d), 2 gone (a, c), 1 described otherwise (b)"),
        (listed(*"abc", *"defghi"), "6 added (d, e, f and 3 more)"),
    ],
)
def test_what_has_changed(now: dict[str, str], told: str) -> None:
    assert changes(listed("a", "b", "c"), now) == told


def test_lines_that_share_a_file_count_together() -> None:
    lines = [Recording(file="a", caption="one"), Recording(file="a", caption="two")]
    assert changes(listing(lines), listing(lines)) == ""
    assert changes(listing(lines), listing(lines[:1])) == "1 described otherwise (a)"


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [message for message in caplog.messages if "has changed since" in message]
    caplog.clear()
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["autoencoder_run", "diffusion_run", "shards"])
def test_a_changed_manifest_is_told_once(
    kind: str,
    request: pytest.FixtureRequest,
    change: Change,
    tmp_path: Path,
    recordings: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    folder = tmp_path / "recordings"
    shutil.copytree(recordings, folder)
    run: Any = request.getfixturevalue("diffusion_run" if kind == "shards" else kind)
    from_folder = msgspec.structs.replace(run.data, path=str(folder))
    config = change(
        msgspec.structs.replace(run, data=from_folder), output=str(tmp_path), name="run"
    )

    def train(steps: int) -> None:
        ready = change(config, max_steps=steps)
        if kind == "shards":
            run_encoding(ready, tmp_path / "shards", per_shard=3)
            data = ShardsConfig(path=str(tmp_path / "shards"))
            ready = msgspec.structs.replace(ready, data=data)
        run_training(ready)

    train(1)
    manifest = folder / "manifest.jsonl"
    lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    gone = lines.pop(2)["file"]
    lines[0]["caption"] = "another drum"
    manifest.write_text("\n".join(map(json.dumps, lines)) + "\n")
    assert told(caplog) == []
    train(2)
    source = tmp_path / "shards" if kind == "shards" else manifest
    assert told(caplog) == [
        f"{source} has changed since the checkpoint of step 1: recordings 1 gone ({gone}), "
        f"1 described otherwise ({lines[0]['file']}); the run goes on with what is listed now"
    ]
    train(3)
    assert told(caplog) == []
