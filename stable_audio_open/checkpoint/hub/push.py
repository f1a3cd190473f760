"""A folder with a model becomes one commit on the Hugging Face hub."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from stable_audio_open.arguments.checks import check_flag, check_name
from stable_audio_open.checkpoint import native
from stable_audio_open.checkpoint import stable_audio_tools as sat
from stable_audio_open.checkpoint.diffusers import layout as diffusers
from stable_audio_open.checkpoint.hub.download import client_error, is_hub_name
from stable_audio_open.checkpoint.weights.tensors import CheckpointError
from stable_audio_open.config.errors import ConfigError
from stable_audio_open.config.model import ModelConfig
from stable_audio_open.config.read import read_config

NO_CONTENT = (".gitattributes", ".gitignore", "LICENSE", native.CARD)
"""Files at the top of a repository that may lie beside any model."""
LAYOUTS = {"native": native.CONFIG, "stable-audio-tools": sat.CONFIG, "diffusers": diffusers.INDEX}
"""The file by which a repository in each layout is known."""


class Repository(NamedTuple):
    """A repository that is there, may be written to, and holds nothing else than a model."""

    name: str
    files: tuple[str, ...]
    """Paths of what it holds."""
    head: str | None
    """Its last commit."""
    revision: str | None
    """Branch; None for the main one."""
    token: str | None
    config: ModelConfig | None
    """Configuration of the model that it holds; None where it is empty, or in another layout than
    ours."""


def check_address(
    name: str, *, private: bool | None, revision: str | None, token: str | None
) -> None:
    """Check what is said of a repository, before anything is done.

    Raises:
        TypeError: A value is of a wrong type.
        ValueError: The name is none of the hub's.
    """
    if not is_hub_name(check_name(name, "repo_id")):
        raise ValueError(f"no name of a repository on the hub: {name!r}; allowed: OWNER/MODEL")
    if private is not None:
        check_flag(private, "private")
    for what, value in (("revision", revision), ("token", token)):
        if value is not None:
            check_name(value, what)


def open_repository(
    name: str,
    *,
    layout: str = "native",
    private: bool | None = None,
    revision: str | None = None,
    token: str | None = None,
) -> Repository:
    """Make a repository, or find it, before anything is written.

    Args:
        name: `owner/model`.
        layout: Layout of the model that comes.
        private: Whether a new repository is hidden from others; the owner's setting when None.
        revision: Branch, made where it is missing; None for the main one.
        token: Token of the hub; None for that of `hf auth login` or `HF_TOKEN`.

    Raises:
        ValueError: The name is none of the hub's.
        CheckpointError: Nobody is logged in, the hub refuses or cannot be reached, or the
            repository holds something else.
    """
    from huggingface_hub import HfApi, get_token, hf_hub_download

    check_address(name, private=private, revision=revision, token=token)
    token = token or get_token()
    if not token:
        raise CheckpointError(
            f"{name}: nobody is logged in to the hub; run `hf auth login`, or set HF_TOKEN to a "
            "token that may write"
        )
    api = HfApi(token=token)
    with _told(name):
        api.create_repo(name, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        info = api.model_info(name, revision=revision)
        files = tuple(file.rfilename for file in info.siblings or ())
        others = sorted(file for file in files if file not in NO_CONTENT)
        mark, config = LAYOUTS[layout], None
        if mark == native.CONFIG and mark in files:
            config = _config(hf_hub_download(name, mark, revision=revision, token=token))
        is_model = mark in files if mark != native.CONFIG else config is not None
        if others and not is_model:
            raise CheckpointError(
                f"{name}: the repository holds {', '.join(others[:3])}"
                f"{' and more' if others[3:] else ''}; allowed: a new or empty repository, or one "
                f"that holds a model in the layout {layout}"
            )
        return Repository(name, files, info.sha, revision, token, config)


def push_folder(
    folder: Path,
    repository: Repository,
    *,
    message: str,
    replaced: Callable[[PurePosixPath], bool] = lambda _: False,
) -> str:
    """Send all files of a folder in one commit, and return its address.

    Files of other names stay in the repository.

    Args:
        folder: The folder.
        repository: As `open_repository` found it; that it has not changed since is checked.
        message: First line of the commit.
        replaced: Says which files of other names do not stay.

    Raises:
        CheckpointError: The hub refuses, cannot be reached, or somebody else wrote meanwhile;
            nothing is in the repository then.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    sent = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    gone = [file for file in repository.files if file not in sent and replaced(PurePosixPath(file))]
    with _told(repository.name):
        commit = HfApi(token=repository.token).create_commit(
            repository.name,
            [
                *(CommitOperationDelete(file) for file in gone),
                *(CommitOperationAdd(file, path) for file, path in sent.items()),
            ],
            commit_message=message,
            revision=repository.revision,
            parent_commit=repository.head,
        )
    return str(commit.commit_url)


def _config(path: str) -> ModelConfig | None:
    """Read a configuration; None where it is another library's, whose files are called the same."""
    try:
        return read_config(path)
    except ConfigError:
        return None


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Say in one line what the hub or the network answered.

    Raises:
        CheckpointError: It did.
    """
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        yield
    except CheckpointError:
        raise
    except (HfHubHTTPError, client_error(), OfflineModeIsEnabled) as error:
        raise CheckpointError(f"{name}: {_reason(error)}") from error
    except RuntimeError as error:  # what an upload raises around its cause
        raise CheckpointError(f"{name}: {_reason(error.__cause__ or error)}") from error
    except ValueError as error:  # answers that the client does not understand, and those of LFS
        raise CheckpointError(f"{name}: the hub refused: {' '.join(str(error).split())}") from error


def _reason(error: BaseException) -> str:
    """Return what was wrong, and what to do."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        said = " ".join((error.server_message or "").split())
        more = f" ({said})" if said else ""
        match status:
            case 401:
                return f"the hub does not know the token{more}; run `hf auth login` again"
            case 402:
                return f"the hub asks for a payment{more}"
            case 403:
                return (
                    f"no right to write there{more}; take a token that may write, of an account "
                    "that may, or another name"
                )
            case 404:
                return f"the hub finds no such owner, repository or branch{more}; check the name"
            case 409 | 412:
                return f"somebody else wrote there meanwhile{more}; look at it and push again"
            case 429:
                return f"too many requests{more}; try again later"
            case _:
                return f"the hub answered {status}{more}; try again later"
    if isinstance(error, (client_error(), OfflineModeIsEnabled)):
        return "the hub cannot be reached; check the connection"
    return f"the upload failed: {' '.join(str(error).split()) or type(error).__name__}"
