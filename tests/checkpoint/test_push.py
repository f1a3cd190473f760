"""Models sent to a hub of our own through the real client, and loaded from there by name."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard as HubCard
from huggingface_hub import constants

from stable_audio_open import ModelCard, StableAudio
from stable_audio_open.checkpoint.hub.push import open_repository, push_folder
from stable_audio_open.pretrained import load
from stable_audio_open.pretrained_autoencoder import AudioAutoencoder, load_autoencoder
from tests.hub_server import Hub, Refused, files_of, sends_files, served, used

NAME = "someone/model"
TEXT = [f"text_encoder/{n}" for n in ("config.json", "tokenizer.json", "tokenizer_config.json")]

pytestmark = sends_files


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with served() as hub, used(hub, tmp_path / "cache", monkeypatch):
        yield hub


@pytest.fixture(scope="module")
def model(tiny_model_folder: Path) -> StableAudio:
    return StableAudio.from_pretrained(tiny_model_folder, device="cpu")


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    state, found = one.state_dict(), other.state_dict()
    return state.keys() == found.keys() and all(torch.equal(state[k], found[k]) for k in state)


def fetched(hub: Hub) -> list[str]:
    """Return what was fetched since the last time, without the repository's name."""
    found = sorted({"/".join(path.split("/")[2:]) for path in hub.downloads})
    hub.downloads.clear()
    return found


@pytest.mark.slow
def test_there_and_back(hub: Hub, model: StableAudio, tmp_path: Path) -> None:
    address = model.push_to_hub(NAME, card=ModelCard(license="cc0-1.0", data="Noise."))
    repository = hub.repositories[NAME]
    assert address == f"{hub.url}/{NAME}/commit/{repository.branches['main']}"
    assert repository.messages == ["", "Upload the model"]
    model.save_pretrained(tmp_path / "saved", card=ModelCard(license="cc0-1.0", data="Noise."))
    saved, sent = files_of(tmp_path / "saved"), repository.files()
    assert sent.keys() == {".gitattributes", *saved}
    json = [name for name in saved if name.endswith(".json")]
    assert all(sent[name] == saved[name] for name in json)
    card = HubCard(sent["README.md"].decode())
    assert (card.data.license, card.data.pipeline_tag) == ("cc0-1.0", "text-to-audio")
    assert f'StableAudio.from_pretrained("{NAME}")' in card.text
    assert "\n## Data\n\nNoise.\n" in card.text

    found = StableAudio.from_pretrained(NAME, device="cpu")
    assert same(found, model)
    assert fetched(hub) == sorted(
        ["config.json", "model.safetensors", "text_encoder/model.safetensors", *TEXT]
    )
    settings = {"duration": 0.2, "steps": 2, "seed": 3, "progress": False}
    # From a file of the same layout: where weights lie in memory changes the last digits.
    before = StableAudio.from_pretrained(tmp_path / "saved", device="cpu")
    sounds = [one.generate("kick", **settings).samples for one in (before, found)]
    assert torch.equal(*sounds)


def test_an_autoencoder(hub: Hub, tiny_autoencoder_folder: Path) -> None:
    autoencoder = AudioAutoencoder.from_pretrained(tiny_autoencoder_folder, device="cpu")
    autoencoder.push_to_hub(NAME, commit_message="A small one")
    repository = hub.repositories[NAME]
    assert repository.messages[-1] == "A small one"
    assert HubCard(repository.files()["README.md"].decode()).data.license is None
    found = load(NAME, device="cpu")
    assert isinstance(found, AudioAutoencoder)
    assert same(found, autoencoder)
    assert fetched(hub) == ["config.json", "model.safetensors"]


@pytest.mark.slow
def test_of_several_variants_one_is_fetched(hub: Hub, model: StableAudio) -> None:
    model.push_to_hub(NAME)
    before = hub.repositories[NAME].files()
    model.push_to_hub(NAME, variant="fp16", max_shard_size="50KB")
    after = hub.repositories[NAME].files()
    assert before.items() <= after.items()
    added = sorted(after.keys() - before.keys())
    assert "model.fp16-00002-of-" in " ".join(added)

    half = load(NAME, device="cpu", variant="fp16")
    assert fetched(hub) == sorted(["config.json", *added, *TEXT])
    weight = half.transformer.input_projection.weight  # type: ignore[union-attr]
    assert torch.equal(weight, model.transformer.input_projection.weight.half().float())
    assert same(load(NAME, device="cpu"), model)
    assert fetched(hub) == ["model.safetensors", "text_encoder/model.safetensors"]
    autoencoder = load_autoencoder(NAME, device="cpu", variant="fp16")
    assert same(autoencoder, half.autoencoder)  # type: ignore[arg-type,union-attr]

    with pytest.raises(ValueError, match="variant") as caught:
        load(NAME, device="cpu", variant="bf16")
    assert (
        str(caught.value)
        == f"{NAME}: there is no variant 'bf16'; it has fp16; did you mean \"fp16\"?"
    )
    assert fetched(hub) == []


@pytest.mark.slow
def test_a_second_push_leaves_no_weights_of_the_first(hub: Hub, model: StableAudio) -> None:
    """And what else is in the repository stays, a card that was edited among it."""
    model.push_to_hub(NAME)
    repository = hub.repositories[NAME]
    whole = repository.files()
    repository.commit({**whole, "README.md": b"by hand", "kick.wav": b"a sound"})
    model.push_to_hub(NAME, max_shard_size="50KB")
    shards = repository.files()
    assert "deletedFile model.safetensors" in hub.uploads
    assert "model.safetensors" not in shards
    assert "model.safetensors.index.json" in shards
    assert (shards["README.md"], shards["kick.wav"]) == (b"by hand", b"a sound")
    assert same(load(NAME, device="cpu"), model)

    model.push_to_hub(NAME, card=ModelCard(description="New."))
    again = repository.files()
    assert again.keys() == {*whole, "kick.wav"}
    assert b"New." in again["README.md"]


@pytest.mark.slow
def test_a_branch(hub: Hub, model: StableAudio) -> None:
    model.push_to_hub(NAME, dtype="bfloat16")
    main = hub.repositories[NAME].files()
    model.push_to_hub(NAME, revision="whole")
    model.push_to_hub(NAME, revision="whole")  # nothing is new
    assert hub.repositories[NAME].files() == main
    assert not same(load(NAME, device="cpu"), model)
    assert same(load(NAME, device="cpu", revision="whole"), model)
    commit = hub.repositories[NAME].branches["whole"]
    found = StableAudio.from_pretrained(NAME, device="cpu", revision=commit)
    assert same(found, model)
    assert found.source is not None
    assert found.source.revision == commit
    autoencoder = load_autoencoder(NAME, device="cpu", revision="whole")
    assert same(autoencoder, model.autoencoder)
    with pytest.raises(ValueError, match="no revision") as caught:
        load(NAME, device="cpu", revision="hole")
    assert str(caught.value) == (
        f"{NAME}: the repository on the hub has no revision 'hole'; give a branch, a tag or a "
        "commit"
    )


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (
            Refused(401, message="Invalid credentials in Authorization header"),
            "the hub answered 401; it does not know the token: run `hf auth login` again, or unset "
            "HF_TOKEN",
        ),
        (
            Refused(403, message="why"),
            "the hub answered 403; the token may not read this; take one that may, or load a "
            "folder",
        ),
        (Refused(500), "the hub answered 500; try again later, or load a folder"),
        (
            Refused(404, "RepoNotFound"),
            "neither a local path nor a repository on the hub (a private one needs `hf auth "
            "login`)",
        ),
    ],
)
def test_what_the_hub_answers_to_who_loads(hub: Hub, answer: Refused, told: str) -> None:
    hub.failing["info"] = answer
    with pytest.raises(ValueError, match="hub") as caught:
        load(NAME, device="cpu")
    assert str(caught.value) == f"{NAME}: {told}"


@pytest.mark.slow
def test_what_was_fetched_is_there_without_the_network(
    hub: Hub, model: StableAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.push_to_hub(NAME, variant="fp16")
    model.push_to_hub(NAME, revision="whole")
    half = load(NAME, device="cpu", variant="fp16")
    whole = load(NAME, device="cpu", revision="whole")
    with served() as gone:
        port = gone.server_port
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    assert same(load(NAME, device="cpu", variant="fp16"), half)
    assert same(load(NAME, device="cpu", revision="whole"), whole)
    for settings in ({"revision": "other"}, {"variant": "bf16"}):
        with pytest.raises(ValueError, match=r"the hub cannot be reached|no variant 'bf16'"):
            load(NAME, device="cpu", **settings)  # type: ignore[arg-type]


def test_a_new_repository_may_be_hidden(
    hub: Hub, model: StableAudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.push_to_hub(NAME, private=True)
    assert hub.repositories[NAME].private
    assert same(load(NAME, device="cpu"), model)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ValueError, match="neither a local path nor a repository on the hub"):
        load(NAME, device="cpu")


def refusal(model: StableAudio, name: str = NAME, **settings: object) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        model.push_to_hub(name, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["model", "a/b/c", "../model", "some one/model", ""])
def test_names_that_are_none(hub: Hub, model: StableAudio, name: str) -> None:
    assert refusal(model, name) == (
        f"no name of a repository on the hub: {name!r}; allowed: OWNER/MODEL"
    )


def test_nobody_is_logged_in(hub: Hub, model: StableAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert refusal(model) == (
        f"{NAME}: nobody is logged in to the hub; run `hf auth login`, or set HF_TOKEN to a token "
        "that may write"
    )
    assert not hub.repositories


def test_a_token_that_is_unknown(hub: Hub, model: StableAudio) -> None:
    assert refusal(model, token="hf_of_nobody") == (
        f"{NAME}: the hub does not know the token (Invalid credentials in Authorization header); "
        "run `hf auth login` again"
    )


def test_no_right_to_write(hub: Hub, model: StableAudio) -> None:
    told = (
        'no right to write there (You don\'t have the rights under "else"); take a token that may '
        "write, of an account that may, or another name"
    )
    assert refusal(model, "else/model") == f"else/model: {told}"
    hub.add("else/model")
    assert refusal(model, "else/model") == f"else/model: {told}"
    assert hub.repositories["else/model"].files() == {".gitattributes": b""}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["create", "info", "batch", "commit"])
@pytest.mark.parametrize(
    ("status", "told"),
    [
        (402, "the hub asks for a payment (why)"),
        (404, "the hub finds no such owner, repository or branch (why); check the name"),
        (418, "the hub answered 418 (why); try again later"),
    ],
)
def test_other_answers(hub: Hub, model: StableAudio, kind: str, status: int, told: str) -> None:
    hub.failing[kind] = Refused(status, message="why")
    assert refusal(model) == f"{NAME}: {told}"


def test_the_hub_is_broken(hub: Hub, model: StableAudio) -> None:
    hub.failing["create"] = Refused(500, message="why")
    assert refusal(model) == f"{NAME}: the hub answered 500 (why); try again later"
    hub.failing = {"commit": Refused(500)}
    assert refusal(model) == f"{NAME}: the hub answered 500; try again later"
    assert hub.repositories[NAME].files() == {".gitattributes": b""}


def test_files_that_the_hub_refuses(hub: Hub, model: StableAudio) -> None:
    hub.failing["store"] = Refused(403, message="too large")
    assert refusal(model).startswith(f"{NAME}: no right to write there (too large); ")


def test_the_network_is_gone(hub: Hub, model: StableAudio, monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as gone:
        port = gone.server_port
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    assert refusal(model) == f"{NAME}: the hub cannot be reached; check the connection"


def test_somebody_else_writes_meanwhile(hub: Hub, model: StableAudio, tmp_path: Path) -> None:
    model.push_to_hub(NAME)
    repository = open_repository(NAME)
    theirs = {**hub.repositories[NAME].files(), "README.md": b"by somebody else"}
    hub.repositories[NAME].commit(theirs)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="meanwhile") as caught:
        push_folder(tmp_path, repository, message="x", replaced=lambda path: path.suffix != "")
    assert str(caught.value) == (
        f"{NAME}: somebody else wrote there meanwhile (the branch has moved); look at it and push "
        "again"
    )
    assert hub.repositories[NAME].files() == theirs


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            {"config.json": b'{"model_type": "t5"}', "model.safetensors": b"", "a": b"", "z": b""},
            "a, config.json, model.safetensors and more",
        ),
        ({"config.json": b'{"sample_rate": 3}'}, "config.json"),
        ({"notes/kick.wav": b"", "README.md": b""}, "notes/kick.wav"),
        ({"model_index.json": b"{}"}, "model_index.json"),
    ],
)
def test_a_repository_with_something_else_is_left_alone(
    hub: Hub, model: StableAudio, files: dict[str, bytes], told: str
) -> None:
    hub.add(NAME, **files)
    assert refusal(model) == (
        f"{NAME}: the repository holds {told}; allowed: a new or empty repository, or one that "
        "holds a model in the layout native"
    )
    assert hub.repositories[NAME].files() == {".gitattributes": b"", **files}


@pytest.mark.slow
def test_a_variant_of_another_model_is_refused(
    hub: Hub, model: StableAudio, wide_model_folder: Path
) -> None:
    model.push_to_hub(NAME)
    before = hub.repositories[NAME].files()
    other = StableAudio.from_pretrained(wide_model_folder, device="cpu")
    assert refusal(other, variant="fp16") == (
        f"{NAME}: model.safetensors would stay there, which is of another configuration "
        "($.conditioning.width: found 16 there and found 64 here); choose another place, or delete "
        "it"
    )
    assert hub.repositories[NAME].files() == before
    other.push_to_hub(NAME)
    assert same(load(NAME, device="cpu"), other)


def test_a_repository_with_a_card_alone_is_filled(hub: Hub, model: StableAudio) -> None:
    hub.add(NAME, **{"README.md": b"to come", "LICENSE": b"CC0"})
    model.push_to_hub(NAME)
    files = hub.repositories[NAME].files()
    assert (files["README.md"], files["LICENSE"]) == (b"to come", b"CC0")
    assert same(load(NAME, device="cpu"), model)


def test_what_cannot_be_stored_makes_no_repository(
    hub: Hub, model: StableAudio, tmp_path: Path
) -> None:
    missing = tmp_path / "none.json"
    assert refusal(model, variant="fp16", dtype="float32").startswith("variant 'fp16' is of ")
    assert refusal(model, max_shard_size="much").startswith("max_shard_size must be 1 byte or ")
    assert refusal(model, card=ModelCard(measurements=[missing])).startswith(f"{missing}: no such")
    assert not hub.repositories
