"""Folders of what a model made: who may write there, what is kept, how work is shared."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.files import read_audio
from stable_audio_open.evaluation.generations.folder import make_missing
from stable_audio_open.evaluation.generations.sets import (
    GenerationSettings,
    ReconstructionSettings,
    SetFile,
    open_set,
    read_set_files,
    read_settings,
    write_set_files,
)

SETTINGS = GenerationSettings(
    model="tiny",
    weights="0123456789abcdef",
    protocol="audiocaps",
    prompts="ab" * 32,
    seconds=10.0,
    sample_rate=8000,
    channels=2,
    steps=100,
    guidance=7.0,
    sampler="dpmpp-2m",
    seed=0,
)
ITEMS = [SetFile(id=f"{i}", file=f"{i}.flac", clip="c", prompt="rain", seed=i) for i in range(7)]


def tones(group: Sequence[SetFile]) -> Audio:
    """A constant for each item, told by its seed."""
    levels = torch.tensor([(item.seed or 0) / 10 for item in group])
    return Audio(levels[:, None, None].expand(-1, 2, 80).contiguous(), 8000)


def test_settings_come_back_and_the_model_may_have_another_name(tmp_path: Path):
    folder = tmp_path / "new" / "set"
    open_set(folder, SETTINGS)
    assert read_settings(folder) == SETTINGS
    open_set(folder, msgspec.structs.replace(SETTINGS, model="copy/of/tiny"))
    assert read_settings(folder) == SETTINGS


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 8}, "were made with steps 100, now 8; give another folder"),
        ({"weights": "other"}, "were made with weights 0123456789abcdef, now other; give"),
        ({"seconds": 2.5, "seed": 1}, "with seconds 10.0, now 2.5, seed 0, now 1; give"),
        ({"prompts": "cd" * 32}, "with prompts abababababab..., now cdcdcdcdcdcd...; give"),
    ],
)
def test_other_settings_are_refused(change: dict[str, object], message: str, tmp_path: Path):
    open_set(tmp_path, SETTINGS)
    (tmp_path / "0.flac").touch()
    with pytest.raises(ValueError, match="its files were made with") as caught:
        open_set(tmp_path, msgspec.structs.replace(SETTINGS, **change))
    assert message in str(caught.value)
    assert read_settings(tmp_path) == SETTINGS


def test_settings_without_files_give_way(tmp_path: Path):
    """A run that failed before its first file must not keep its mistake."""
    open_set(tmp_path, SETTINGS)
    write_set_files(tmp_path, [])
    (tmp_path / "results" / "all").mkdir(parents=True)
    other = msgspec.structs.replace(SETTINGS, guidance=3.0)
    open_set(tmp_path, other)
    assert read_settings(tmp_path) == other
    assert not (tmp_path / "results").exists()  # of files that are gone


def test_a_folder_of_another_kind_is_refused(tmp_path: Path):
    open_set(tmp_path, SETTINGS)
    (tmp_path / "0.flac").touch()
    other = ReconstructionSettings(
        model="tiny",
        weights=SETTINGS.weights,
        protocol="audiocaps",
        prompts=SETTINGS.prompts,
        sample_rate=8000,
        channels=2,
        downsampling=1024,
        latent_channels=64,
    )
    with pytest.raises(ValueError, match="made with type generation, now reconstruction"):
        open_set(tmp_path, other)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(ValueError, match=r"is not empty and holds no settings.json; give a new"):
        open_set(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ValueError, match=r"holds no settings.json"):
        open_set(tmp_path / "thesis.txt", SETTINGS)


def test_what_is_there_is_kept_and_damage_is_made_again(tmp_path: Path):
    open_set(tmp_path, SETTINGS)
    groups: list[list[str]] = []

    def make(group: Sequence[SetFile]) -> Audio:
        groups.append([item.id for item in group])
        return tones(group)

    assert make_missing(tmp_path, ITEMS[:3], make, batch=2) == 3
    first = (tmp_path / "1.flac").read_bytes()
    (tmp_path / "0.flac").write_bytes(b"")
    (tmp_path / "2.flac").unlink()
    (tmp_path / "1.flac").touch()
    assert make_missing(tmp_path, ITEMS[:5], make, batch=2) == 4
    assert groups == [["0", "1"], ["2"], ["0", "2"], ["3", "4"]]
    assert (tmp_path / "1.flac").read_bytes() == first
    for item in ITEMS[:5]:
        sound = read_audio(tmp_path / item.file)
        torch.testing.assert_close(sound.samples, tones([item]).samples, rtol=0, atol=2**-23)


@pytest.mark.parametrize("left", [0.1, 0.5, 0.95])
def test_a_file_that_was_cut_off_is_made_again(left: float, tmp_path: Path):
    """The header of a FLAC file says nothing of where the file ends."""

    def noise(group: Sequence[SetFile]) -> Audio:
        generator = torch.Generator().manual_seed(0)
        return Audio(torch.rand(len(group), 2, 20000, generator=generator), 8000)

    make_missing(tmp_path, ITEMS[:1], noise, batch=1)
    path = tmp_path / "0.flac"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole))])
    assert make_missing(tmp_path, ITEMS[:1], noise, batch=1) == 1
    assert path.read_bytes() == whole


def test_processes_share_the_items(tmp_path: Path):
    shares = []
    for rank in range(3):
        mine: list[str] = []

        def make(group: Sequence[SetFile], mine: list[str] = mine) -> Audio:
            mine.extend(item.id for item in group)
            return tones(group)

        make_missing(tmp_path, ITEMS, make, batch=2, rank=rank, processes=3)
        shares.append(mine)
    assert shares == [["0", "3", "6"], ["1", "4"], ["2", "5"]]
    assert write_set_files(tmp_path, ITEMS) == ITEMS


def test_a_failure_leaves_whole_files_and_no_manifest(tmp_path: Path):
    def make(group: Sequence[SetFile]) -> Audio:
        if group[0].id == "2":
            raise FloatingPointError("NaN")
        return tones(group)

    with pytest.raises(FloatingPointError):
        make_missing(tmp_path, ITEMS, make, batch=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.flac", "1.flac"]
    with pytest.raises(ValueError, match=r"holds no manifest.jsonl; run the command that made it"):
        read_set_files(tmp_path)


def test_the_manifest_lists_what_is_there(tmp_path: Path):
    make_missing(tmp_path, ITEMS[1:3], tones, batch=4)
    assert write_set_files(tmp_path, ITEMS) == ITEMS[1:3] == read_set_files(tmp_path)
    (tmp_path / "2.flac").unlink()
    with pytest.raises(ValueError, match=r"manifest.jsonl:2: 2.flac is gone; run the command"):
        read_set_files(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match=r"manifest.jsonl:1: not an item of a set \(.*id"):
        read_set_files(tmp_path)


def test_damaged_settings(tmp_path: Path):
    (tmp_path / "settings.json").write_text('{"type": "generation"}')
    with pytest.raises(ValueError, match=r"settings.json: not the settings of a set \(.*model"):
        read_settings(tmp_path)
    with pytest.raises(ValueError, match=r"none: holds no settings.json; give a folder of"):
        read_settings(tmp_path / "none")


def test_a_folder_of_an_earlier_version_goes_on(tmp_path: Path):
    """Version 0.1.0 wrote these files, to the letter."""
    (tmp_path / "settings.json").write_text(
        '{\n  "type": "generation",\n  "model": "tiny",\n  "lora": [],\n'
        '  "weights": "0123456789abcdef",\n  "protocol": "audiocaps",\n'
        f'  "prompts": "{"ab" * 32}",\n  "seconds": 10.0,\n  "sample_rate": 8000,\n'
        '  "channels": 2,\n  "steps": 100,\n  "guidance": 7.0,\n  "sampler": "dpmpp-2m",\n'
        '  "seed": 0\n}\n'
    )
    line = '{"id":"0","file":"0.flac","clip":"c","prompt":"rain","seed":0}\n'
    (tmp_path / "manifest.jsonl").write_text(line)
    make_missing(tmp_path, ITEMS[:1], tones, batch=1)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert read_set_files(tmp_path) == ITEMS[:1]
    open_set(tmp_path, SETTINGS)
    assert make_missing(tmp_path, ITEMS[:1], tones, batch=1) == 0
    write_set_files(tmp_path, ITEMS[:1])
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    open_set(tmp_path / "new", SETTINGS)
    written = (tmp_path / "new" / "settings.json").read_bytes()
    assert written == before[tmp_path / "settings.json"]
