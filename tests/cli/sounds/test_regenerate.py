import json
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from stable_audio_open.audio.audio import Audio
from stable_audio_open.audio.writing.saving import save_audio
from stable_audio_open.audio.writing.tags import read_tags
from stable_audio_open.checkpoint.weights import precision
from stable_audio_open.cli.printing import one_line
from stable_audio_open.pretrained import StableAudio
from stable_audio_open.settings import SAMPLING

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]


@pytest.fixture
def request_words(tiny_model_folder: Path) -> list[object]:
    return ["generate", "deep kick", "--model", tiny_model_folder, "--steps", 2, "--duration", 0.5]


def samples(path: str) -> Any:
    return soundfile.read(path)[0]


def change_tags(path: str, **changes: object) -> None:
    """Write the same samples with other tags."""
    audio = Audio.load(path)
    tags = {**read_tags(path), **changes}
    save_audio(Path(path), audio.samples[0], audio.sample_rate, subtype="float", tags=tags)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x.wav", "x.flac", "x.ogg", "x.mp3"])
def test_the_samples_are_the_same(run: Run, request_words: list[object], name: str):
    result = run(*request_words, "--output", name)
    assert (result.returncode, result.stderr) == (0, "")
    result = run("regenerate", name)
    again = name.replace("x.", "x_2.")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{again}: 0.50 s, the same samples as {name}\n"
    assert np.array_equal(samples(name), samples(again))
    assert read_tags(name) == read_tags(again)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        "--sampler dpmpp-2m-sde --guidance-interval 1 500 --negative-prompt bell --seed 3",
        "--schedule karras --sigma-max 50 --dtype bfloat16 --attention math --fade 0",
        "--loudness -30 --trim-silence --channels 1 --sample-rate 8000 --fade 0.1",
        "--peak -3 --subtype pcm16 --no-trim",
        "--init-audio good.wav --init-strength 0.4 --subtype float",
    ],
)
def test_every_setting_and_step_is_done_again(
    run: Run, request_words: list[object], recordings: Path, options: str
):
    assert run(*request_words, *options.split(), "--output", "x.wav").returncode == 0
    result = run("regenerate", "x.wav", "--output", "y.wav")
    assert (result.returncode, result.stderr) == (0, "")
    assert Path("x.wav").read_bytes() == Path("y.wav").read_bytes()


def test_number_formats_that_were_taken_for_speed_are_taken_again(
    run: Run, request_words: list[object], monkeypatch: pytest.MonkeyPatch
):
    with monkeypatch.context() as fast:
        fast.setattr(precision, "fast_dtype", lambda device: torch.bfloat16)
        assert run(*request_words, "--seed", 1, "--output", "fast.wav").returncode == 0
    kinds = "transformer=bfloat16,autoencoder=float32,text_encoder=bfloat16"
    assert read_tags("fast.wav")["dtype"] == kinds
    result = run("regenerate", "fast.wav", "--output", "again.wav")
    assert (result.returncode, result.stderr) == (0, "")
    assert Path("fast.wav").read_bytes() == Path("again.wav").read_bytes()
    run(*request_words, "--seed", 1, "--output", "exact.wav")
    assert not np.array_equal(samples("exact.wav"), samples("fast.wav"))


def test_an_item_of_a_batch_is_made_with_the_others(run: Run, request_words: list[object]):
    run(*request_words, "soft bell", "--variations", 2, "--seed", 4, "--output", "sounds")
    result = run("regenerate", "sounds/soft-bell_7.wav", "--output", "again")
    assert result.stdout.startswith("again/soft-bell_7.wav: 0.50 s, the same samples as")
    tags = read_tags("again/soft-bell_7.wav")
    assert (tags["item"], tags["prompt"], tags["seed"]) == (3, "soft bell", 7)


def test_long_tags_stand_beside(run: Run, request_words: list[object]):
    run(*request_words, "x" * 1900, "--seed", 4, "--output", "sounds")
    assert Path("sounds/deep-kick_4.wav.json").is_file()
    result = run("regenerate", "sounds/deep-kick_4.wav")
    assert "the same samples" in result.stdout
    assert (
        Path("deep-kick_4.wav.json").read_bytes()
        == Path("sounds/deep-kick_4.wav.json").read_bytes()
    )


def test_threads_are_those_of_then(run: Run, request_words: list[object]):
    run(*request_words, "--output", "x.wav")
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    torch.set_float32_matmul_precision("medium")
    try:
        assert "the same samples" in run("regenerate", "x.wav").stdout
        assert torch.get_num_threads() == before + 1
        assert torch.get_float32_matmul_precision() == "medium"
        tags = read_tags("x_2.wav")
        assert (tags["threads"], tags["matmul"]) == (before, "highest")
    finally:
        torch.set_num_threads(before)
        torch.set_float32_matmul_precision("highest")


@pytest.mark.slow
def test_an_existing_file_is_kept(run: Run, refuse: Refuse, request_words: list[object]):
    run(*request_words, "--output", "x.wav")
    refuse(
        *("regenerate", "x.wav", "--output", "x.wav"),
        code=2,
        message="x.wav: exists; give another name, or --overwrite to have it replaced",
    )
    result = run("regenerate", "x.wav", "--output", "x.wav", "--overwrite")
    assert result.stdout == "x.wav: 0.50 s, the same samples as x.wav\n"


def test_the_recording_that_it_was_made_with_is_never_replaced(
    run: Run, refuse: Refuse, request_words: list[object], recordings: Path
):
    run(*request_words, "--init-audio", "good.wav", "--output", "x.wav")
    refuse(
        *("regenerate", "x.wav", "--output", "good.wav", "--overwrite"),
        code=2,
        message="good.wav: is the recording itself; choose another output",
    )
    Path("sub").mkdir()
    Path("x.wav").rename("sub/good.wav")
    before = Path("good.wav").read_bytes()
    result = run("regenerate", "sub/good.wav", "--overwrite")
    assert result.stdout == "good_2.wav: 0.50 s, the same samples as sub/good.wav\n"
    assert Path("good.wav").read_bytes() == before


def test_other_samples_are_told(run: Run, request_words: list[object]):
    run(*request_words, "--subtype", "float", "--output", "x.wav")
    audio = Audio.load("x.wav")
    save_audio(
        Path("x.wav"), audio.samples[0] * 0.9, 16000, subtype="float", tags=read_tags("x.wav")
    )
    assert run("regenerate", "x.wav").stdout == (
        "x_2.wav: 0.50 s, other samples than x.wav: this machine or its versions compute "
        "otherwise, or its tags or samples were changed\n"
    )
    assert run("regenerate", "x.wav", "--output", "y.mp3").stdout == "y.mp3: 0.50 s\n"


@pytest.mark.slow
def test_a_model_that_has_moved_or_changed(
    run: Run, refuse: Refuse, request_words: list[object], tmp_path: Path, tiny_model_folder: Path
):
    shutil.copytree(tiny_model_folder, "model")
    request_words[3] = "model"
    run(*request_words, "--output", "x.wav")
    Path("model").rename("moved")
    result = run("regenerate", "x.wav")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("stable-audio-open: no model 'model'; allowed:")
    assert "the same samples" in run("regenerate", "x.wav", "--model", "moved").stdout
    model = StableAudio.from_pretrained("moved", device="cpu")
    with torch.no_grad():
        next(model.transformer.parameters()).add_(1e-3)
    model.save_pretrained("other")
    result = run("regenerate", "x.wav", "--model", "other")
    assert result.returncode == 2
    assert re.fullmatch(
        r"stable-audio-open: x\.wav: was made by weights [0-9a-f]{16}, other has [0-9a-f]{16}; "
        r"give that model as --model, and its text encoder as --text-encoder\n",
        result.stderr,
    )


def test_another_configuration_is_warned_of(
    run: Run, request_words: list[object], tiny_model_folder: Path
):
    shutil.copytree(tiny_model_folder, "model")
    request_words[3] = "model"
    run(*request_words, "--output", "x.wav")
    config = json.loads(Path("model/config.json").read_text())
    Path("model/config.json").write_text(json.dumps({**config, "name": "renamed"}))
    result = run("regenerate", "x.wav")
    assert re.fullmatch(
        r"WARNING: x\.wav: was made by configuration [0-9a-f]{16}, now [0-9a-f]{16}: samples may "
        r"differ\n",
        result.stderr,
    )


@pytest.mark.slow
def test_adapters_are_merged_again(
    run: Run, request_words: list[object], save_random_adapter: Callable[..., None]
):
    save_random_adapter(Path("lora"))
    save_random_adapter(Path("other"), seed=1)
    run(*request_words, "--lora", "lora:0.5", "--output", "x.wav")
    assert "the same samples" in run("regenerate", "x.wav").stdout
    Path("lora").rename("moved")
    assert run("regenerate", "x.wav").returncode == 1
    assert "the same samples" in run("regenerate", "x.wav", "--lora", "moved").stdout
    result = run("regenerate", "x.wav", "--lora", "other")
    assert result.stderr.startswith(
        "stable-audio-open: other: is not the adapter lora that x.wav was made with (its hash is"
    )
    result = run("regenerate", "x.wav", "--lora", "moved", "--lora", "moved")
    assert "x.wav: was made with 1 adapters, got 2; give each of them as --lora" in result.stderr


@pytest.mark.slow
def test_adapters_with_limits_take_part_again(
    run: Run, request_words: list[object], save_random_adapter: Callable[..., None]
):
    """Beside one that is merged; the tags tell what they were."""
    save_random_adapter(Path("lora"))
    save_random_adapter(Path("other"), seed=1)
    lora = ["--lora", "lora:0.2:sigma=..50:layers=0,*.qkv", "--lora", "lora:0.1:sigma=50.."]
    request_words += ["--seed", 3]
    run(*request_words, *lora, "--lora", "other:0.1", "--output", "x.wav")
    told = read_tags(Path("x.wav"))["model"]
    (merged,), (low, high) = told["lora"], told["adapters"]
    digest = low["hash"]
    assert low == {
        "name": "lora", "folder": "lora", "hash": digest, "weight": 0.2,
        "interval": [0.0, 50.0], "layers": [0, "*.qkv"],
    }  # fmt: skip
    assert high == {
        "name": "lora-2", "folder": "lora", "hash": digest, "weight": 0.1, "interval": [50.0, None]
    }  # fmt: skip
    assert merged[:2] == ["other", 0.1]
    assert "the same samples" in run("regenerate", "x.wav").stdout
    run(*request_words, "--lora", "other:0.1", "--output", "y.wav")
    assert not np.array_equal(samples("x.wav"), samples("y.wav"))
    assert read_tags(Path("x.wav"))["weights"] == read_tags(Path("y.wav"))["weights"]
    Path("lora").rename("moved")
    moved = ["--lora", "other", "--lora", "moved", "--lora", "moved"]
    assert "the same samples" in run("regenerate", "x.wav", *moved).stdout
    result = run("regenerate", "x.wav", "--lora", "other", "--lora", "other", *moved[4:])
    assert result.stderr.startswith(
        "stable-audio-open: other: is not the adapter lora that x.wav was made with (its hash is"
    )
    result = run("regenerate", "x.wav", *moved[2:])
    assert "x.wav: was made with 3 adapters, got 2; give each of them as --lora" in result.stderr


def test_inputs_that_have_moved_or_changed(
    run: Run, refuse: Refuse, request_words: list[object], recordings: Path
):
    run(*request_words, "--init-audio", "good.wav", "--output", "x.wav")
    Path("good.wav").rename("moved.wav")
    refuse(
        *("regenerate", "x.wav"),
        code=2,
        message="x.wav: init_audio was good.wav, which is missing; give it as --sound "
        "init_audio=FILE",
    )
    result = run("regenerate", "x.wav", "--sound", "init-audio=moved.wav")
    assert "the same samples" in result.stdout
    result = run("regenerate", "x.wav", "--sound", "init_audio=mono_8k.wav")
    assert result.returncode == 2
    assert re.fullmatch(
        r"stable-audio-open: mono_8k\.wav: is not the init_audio that x\.wav was made with \(its "
        r"hash is [0-9a-f]{16}, that of the other [0-9a-f]{16}\); give that one as --sound "
        r"init_audio=FILE\n",
        result.stderr,
    )
    refuse(
        *("regenerate", "x.wav", "--sound", "moved.wav"),
        code=2,
        message="--sound moved.wav: give NAME=FILE, such as init_audio=kick.wav",
    )
    refuse(
        *("regenerate", "x.wav", "--sound", "audio=moved.wav"),
        code=2,
        message="--sound audio: x.wav was made with no sound of this name, but with init_audio",
    )


def test_an_input_in_a_tar(run: Run, request_words: list[object], recordings: Path):
    with tarfile.open("set.tar", "w") as tar:
        tar.add("good.wav")
    run(*request_words, "--init-audio", "set.tar/good.wav", "--output", "x.wav")
    assert "the same samples" in run("regenerate", "x.wav").stdout


def test_a_sound_from_memory_is_given_as_a_file(
    run: Run, refuse: Refuse, recordings: Path, tiny_model_folder: Path
):
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    sound = Audio.load("good.wav")
    audio = model.generate("kick", steps=2, init_audio=sound, progress=False)
    audio.save("x.wav")
    refuse(
        *("regenerate", "x.wav"),
        code=2,
        message="x.wav: init_audio was a sound in memory; give it as --sound init_audio=FILE",
    )
    result = run("regenerate", "x.wav", "--sound", "init_audio=good.wav")
    assert "the same samples" in result.stdout


def test_other_versions_are_warned_of(run: Run, request_words: list[object]):
    run(*request_words, "--subtype", "float", "--output", "x.wav")
    change_tags("x.wav", torch="1.0", stable_audio_open="0.9")
    result = run("regenerate", "x.wav")
    assert result.stderr == (
        "WARNING: x.wav: was made by stable-audio-open 0.9, now "
        f"{read_tags('x_2.wav')['stable_audio_open']}; by torch 1.0, now {torch.__version__}: "
        "samples may differ\n"
    )
    assert "the same samples" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"method": "__init__"},
            "was made by '__init__', which this version does not know; instal",
        ),
        ({"settings": {"stepps": 3}}, "was made with 'stepps', which this version does not know"),
        (
            {"settings": {"prompt": {"type": "Foo"}}},
            "was made with a Foo as prompt, which tags can",
        ),
        ({"settings": {"prompt": "x", "init_audio": 7}}, "its tags do not say which sound init_au"),
        ({"item": 5}, "was item 5 of a batch, which has 1"),
        ({"finishing": [{"rm": 1}]}, "its tags ask for what cannot be made: "),
        (
            {"finishing": [{"peak": 5}]},
            "its tags ask for what cannot be made: peak must be -200 to 0 decibels",
        ),
        (
            {"settings": {"prompt": "x", "steps": 0}},
            "its tags ask for what cannot be made: steps must be at least 1, got 0",
        ),
        (
            {"settings": {"prompt": 7}},
            "its tags ask for what cannot be made: prompt must be a text, a list of texts, or",
        ),
        (
            {"settings": {"prompt": "x", "sigma_max": {"number": "much"}}},
            "its tags ask for what cannot be made: could not convert string to float: 'much'",
        ),
        ({"settings": {}}, "its tags ask for what cannot be made: generate needs prompt"),
        (
            {"settings": {"prompt": "x", "init_audio": {"file": 5, "sha256": "0"}}},
            "its tags do not say which sound init_audio was",
        ),
        ({"seed": None}, "its tags are not whole (Expected `int`, got `null` - at `$.seed`)"),
        ({"model": {"name": ""}}, "was made by a model in memory (weights "),
    ],
)
def test_tags_that_cannot_be_followed(
    run: Run,
    request_words: list[object],
    types_unchecked: None,
    changes: dict[str, object],
    message: str,
):
    run(*request_words, "--subtype", "float", "--output", "x.wav")
    change_tags("x.wav", **changes)
    result = run("regenerate", "x.wav")
    assert result.returncode == 2
    assert result.stderr.startswith(f"stable-audio-open: x.wav: {message}")
    assert result.stderr.count("\n") == 1
    assert not Path("x_2.wav").exists()


def test_files_without_tags(run: Run, refuse: Refuse, request_words: list[object]):
    run(*request_words, "--no-tags", "--output", "x.wav")
    message = (
        "x.wav: its tags do not say how it was made; stable-audio-open writes that into WAV, FLAC, "
        "Ogg and MP3 files unless --no-tags is given, and other programs may drop it"
    )
    refuse("regenerate", "x.wav", code=2, message=message)
    assert run("regenerate", "missing.wav").stderr == (
        "stable-audio-open: missing.wav: No such file or directory\n"
    )


def test_tags_are_read_by_people(run: Run, request_words: list[object]):
    run(*request_words, "--seed", 7, "--output", "x.flac")
    with soundfile.SoundFile("x.flac") as file:
        comment = file.comment
    assert comment.startswith('{"stable_audio_open":"')
    assert json.loads(comment)["prompt"] == "deep kick"
    assert len(comment) < 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        "--loop --bars 0.25 --bpm 120",
        "--loop --samples 9000",
        "--duration 1.5",
        "--prompt-at 0.2:x",
    ],
)
def test_every_length_is_made_again(run: Run, tiny_model_folder: Path, options: str):
    words = ["generate", "deep kick", "--model", tiny_model_folder, "--steps", 2]
    result = run(*words, *options.split(), "--output", "x.wav")
    assert (result.returncode, result.stderr) == (0, "")
    result = run("regenerate", "x.wav", "--output", "y.wav")
    assert (result.returncode, result.stderr) == (0, "")
    assert Path("x.wav").read_bytes() == Path("y.wav").read_bytes()


@pytest.mark.parametrize("seed", [3, (3, 9)])
def test_a_sound_on_the_way_between_two(run: Run, tiny_model_folder: Path, seed: Any):
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    way = model.interpolate(
        ("deep kick", "bell"), count=3, seed=seed, steps=2, duration=0.3, progress=False
    )
    way[1].save("way.wav")
    result = run("regenerate", "way.wav", "--output", "again.wav")
    assert (result.returncode, result.stderr) == (0, "")
    assert np.array_equal(samples("way.wav"), samples("again.wav"))


EDITS: dict[str, dict[str, Any]] = {
    "inpaint": {"audio": "good.wav", "prompt": "kick", "spans": [(0.1, 0.2), (0.5, 0.6)]},
    "extend": {"audio": "good.wav", "prompt": ["kick", "bell"], "seconds": 0.1},
    "interpolate": {"prompt": ("deep kick", "bell"), "count": 3, "duration": 0.3},
    "generate": {"prompt": [("kick", 0.7), ("bell", 0.3)], "duration": [0.2]},
}


@pytest.mark.slow
@pytest.mark.parametrize("method", EDITS)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"sampler": "dpmpp-3m-sde", "guidance_scale": [(1.0, 2.0), (100.0, 5.0)], "sigma_max": 50},
        {"guidance_parallel": 0.0, "guidance_norm": 0.1, "negative_prompt": "hum", "steps": 3},
    ],
    ids=["defaults", "sde", "apg"],
)
def test_sounds_of_every_method_are_made_again(
    run: Run,
    recordings: Path,
    tiny_model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    options: dict[str, Any],
):
    """Whatever the defaults are by then."""
    model = StableAudio.from_pretrained(tiny_model_folder, device="cpu")
    monkeypatch.setitem(SAMPLING, "v", SAMPLING["v"]._replace(steps=2, guidance_scale=3.0))
    audio = getattr(model, method)(**EDITS[method], **options, seed=5, progress=False)
    audio[-1].save("made.wav", subtype="float")
    monkeypatch.undo()
    monkeypatch.chdir(recordings)
    result = run("regenerate", "made.wav", "--output", "again.wav")
    assert (result.returncode, result.stderr) == (0, "")
    assert "the same samples as made.wav" in result.stdout
    assert np.array_equal(samples("made.wav"), samples("again.wav"))
    assert read_tags("made.wav") == read_tags("again.wav")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a\udcff.wav", "a\nb.flac", "a\x1b[1m.wav"])
def test_names_and_prompts_of_every_kind(
    run: Run, request_words: list[object], recordings: Path, name: str
):
    """What is printed is a line without control characters; the file is made again."""
    request_words[1] = "kick\n\0\x01snare\u202e"
    Path("good.wav").rename(f"init{name[1:]}.wav")
    words = [*request_words, "--init-audio", f"init{name[1:]}.wav", "--seed", 3]
    result = run(*words, "--output", name)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(one_line(name) + ": 0.50 s")
    assert result.stdout.splitlines()[0].endswith('"kick \\x00\\x01snare\\u202e"')
    assert read_tags(name)["prompt"] == request_words[1]
    suffix = Path(name).suffix
    result = run("regenerate", name, "--output", f"again{suffix}")
    assert result.stdout == one_line(f"again{suffix}: 0.50 s, the same samples as {name}") + "\n"
