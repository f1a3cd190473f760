"""`export` to the hub, and in variants and shards."""

from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file

from stable_audio_open.pretrained import StableAudio, load
from tests.hub_server import Hub, sends_files, served, used
from tests.printed import PUSHES, blocks, words

Run = Callable[..., CompletedProcess[str]]
Refuse = Callable[..., None]
NAME = "someone/model"
EXPORT = ("export", "--output", "model")

pytestmark = sends_files


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    cache = tmp_path_factory.mktemp("cache")
    with served() as hub, used(hub, cache, monkeypatch):
        yield hub


@pytest.mark.slow
def test_push(run: Run, hub: Hub, tiny_model_folder: Path) -> None:
    Path("figures.json").write_text('{"distance": 1.5}')
    result = run(
        *("export", tiny_model_folder, "--push", NAME, "--variant", "fp16"),
        *("--max-shard-size", "100KB", "--license", "cc0-1.0", "--data", "Noise."),
        *("--measured", "figures.json", "--private", "--branch", "half"),
    )
    assert result.returncode == 0, result.stderr
    repository = hub.repositories[NAME]
    assert result.stdout == f"{hub.url}/{NAME}/commit/{repository.branches['half']}\n"
    assert repository.private
    assert repository.files() == {".gitattributes": b""}
    files = repository.files("half")
    assert "model.safetensors.index.fp16.json" in files
    card = ModelCard(files["README.md"].decode())
    assert card.data.license == "cc0-1.0"
    assert "Noise." in card.text
    assert "| distance | 1.5 |" in card.text
    weight = load(NAME, device="cpu", revision="half").transformer.input_projection.weight  # type: ignore[union-attr]
    before = load_file(tiny_model_folder / "model.safetensors")
    assert torch.equal(weight, before["transformer.input_projection.weight"].half().float())


@pytest.mark.slow
def test_commands_that_are_printed(run: Run, hub: Hub, tiny_model_folder: Path) -> None:
    commands = [c for block in blocks("docs/export.md") for c in block.commands if PUSHES in c]
    assert len(commands) == 2
    Path("my_tiny").symlink_to(tiny_model_folder)
    Path("measured.json").write_text('{"distance": 1.5}')
    for command in commands:
        result = run(*words(command.replace(" me/", " someone/")))
        assert result.returncode == 0, result.stderr
    files = hub.repositories["someone/my-tiny"].files()
    assert {"model.safetensors", "model.fp16.safetensors"} <= files.keys()
    assert b"165 CC0 recordings" in files["README.md"]


@pytest.mark.slow
def test_push_in_another_layout(run: Run, hub: Hub, wide_model_folder: Path) -> None:
    command = ("export", wide_model_folder, "--to", "stable-audio-tools", "--push", NAME)
    assert run(*command).returncode == 0
    files = hub.repositories[NAME].files()
    assert {"model_config.json", "model.safetensors", "README.md"} <= files.keys()
    loaded, before = (load(source, device="cpu") for source in (NAME, wide_model_folder))
    for name, tensor in before.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    refused = run("export", wide_model_folder, "--push", NAME)
    assert refused.returncode == 1
    assert "allowed: a new or empty repository, or one that holds a model in the layout native" in (
        refused.stderr
    )
    assert hub.repositories[NAME].files() == files
    hub.repositories[NAME].commit({**files, "README.md": b"by hand"})
    assert run(*command, "--dtype", "float16").returncode == 0
    assert hub.repositories[NAME].files()["README.md"] == b"by hand"
    assert run(*command, "--license", "mit").returncode == 0
    assert b"license: mit" in hub.repositories[NAME].files()["README.md"]


def test_a_variant_in_a_folder(run: Run, tiny_model_folder: Path) -> None:
    assert run("export", tiny_model_folder, "--output", "model").returncode == 0
    half = run("export", tiny_model_folder, "--output", "model", "--variant", "bf16")
    assert (half.returncode, half.stderr) == (0, "")
    stored = load_file("model/model.bf16.safetensors")
    assert stored["transformer.input_projection.weight"].dtype == torch.bfloat16
    plain = load_file("model/model.safetensors")
    assert plain["transformer.input_projection.weight"].dtype == torch.float32
    assert not Path("model/README.md").exists()
    assert run("export", tiny_model_folder, "--output", "model", "--license", "mit").returncode == 0
    assert 'from_pretrained("model")' in Path("model/README.md").read_text()


def test_a_sound_of_a_variant_is_made_again(run: Run, tiny_model_folder: Path) -> None:
    for variant in ("fp16", "bf16"):
        assert run(*EXPORT, tiny_model_folder, "--variant", variant).returncode == 0
    model = StableAudio.from_pretrained("model", device="cpu", variant="bf16")
    model.generate("kick", duration=0.1, steps=1, seed=0, progress=False).save("kick.wav")
    again = run("regenerate", "kick.wav", "--output", "again.wav")
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.endswith("the same samples as kick.wav\n")


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 2, "give either --output, a folder to write, or --push, a name on the hub"),
        (
            ("--output", "x", "--push", NAME),
            2,
            "give either --output, a folder to write, or --push, a name on the hub",
        ),
        (
            ("--output", "x", "--private"),
            2,
            "--private and --branch are of the hub; leave them out, or give --push",
        ),
        (
            ("--output", "x", "--to", "diffusers", "--variant", "fp16"),
            2,
            "--variant and --max-shard-size are of the layout native; leave them out, or --to "
            "diffusers",
        ),
        (
            ("--output", "x", "--variant", "fp16", "--dtype", "float32"),
            2,
            "variant 'fp16' is of float16, got dtype 'float32'; leave one of them out",
        ),
        (
            ("--output", "x", "--max-shard-size", "much"),
            2,
            "max_shard_size must be 1 byte or more, or a size such as '500MB' or '5GB', got 'much'",
        ),
        (("--output", "x", "--measured", "no.json"), 1, "no.json: no such file or folder of measu"),
        (
            ("--push", "model"),
            2,
            "no name of a repository on the hub: 'model'; allowed: OWNER/MODE",
        ),
        (
            ("--to", "lora", "--push", NAME),
            2,
            "an adapter is written to a folder, without a card; give --output, and send the folder "
            "with `hf upload`",
        ),
        (
            ("--push", "else/model"),
            1,
            'else/model: no right to write there (You don\'t have the rights under "else"); take a '
            "token that may write, of an account that may, or another name",
        ),
    ],
)
def test_mistakes(
    run: Run, hub: Hub, tiny_model_folder: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    result = run("export", tiny_model_folder, *options)
    assert result.stderr.startswith(f"stable-audio-open: {message}")
    assert result.stderr.count("\n") == 1
    assert result.returncode == code
    assert not list(Path().iterdir())
    assert not hub.repositories
