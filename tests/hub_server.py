"""A server that speaks as much of the Hugging Face hub's protocol as its client needs here."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.threaded import answering

MAIN = "main"
TOKEN = "hf_of_someone"
"""Token of who may write to what belongs to `someone`, and read what is public."""


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, code: str = "", message: str = "", **body: object) -> None:
        self.status, self.body = status, body or {"error": message}
        self.headers = {"X-Error-Code": code} if code else {}
        if message:
            self.headers["X-Error-Message"] = message


@dataclass
class Repository:
    """Branches, commits and their files."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], branch: str = MAIN, message: str = "") -> str:
        self.messages.append(message)
        oid = sha1(f"{len(self.commits)} {message}".encode()).hexdigest()
        self.commits[oid] = dict(files)
        self.branches[branch] = oid
        return oid

    def find(self, revision: str) -> str:
        oid = self.branches.get(revision, revision)
        if oid not in self.commits:
            raise Refused(404, "RevisionNotFound")
        return oid

    def files(self, revision: str = MAIN) -> dict[str, bytes]:
        return self.commits[self.find(revision)]


class Hub(ThreadingHTTPServer):
    """Repositories by name, and what was asked of them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, Repository] = {}
        self.gated: set[str] = set()
        self.objects: dict[str, bytes] = {}
        self.downloads: list[str] = []
        self.uploads: list[str] = []
        self.failing: dict[str, Refused] = {}
        """Answers to whatever is asked of a kind, such as `create`."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def add(self, name: str, folder: Path | None = None, **files: bytes) -> Repository:
        """Put a repository there, with the files of a folder."""
        found = {} if folder is None else files_of(folder)
        self.repositories[name] = Repository()
        self.repositories[name].commit({".gitattributes": b"", **found, **files})
        return self.repositories[name]


def files_of(folder: Path) -> dict[str, bytes]:
    """Return what a folder holds, by path."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(self.read)

    def do_GET(self) -> None:
        self.answer(self.read)

    def do_POST(self) -> None:
        self.answer(self.write)

    def do_PUT(self) -> None:
        self.answer(self.store)

    def answer(self, handle: Any) -> None:
        self.body = self.received()
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        try:
            status, content, headers = 200, *handle(parts)
        except Refused as refused:
            status, content, headers = refused.status, refused.body, refused.headers
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def received(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while length := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(length))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def read(self, parts: list[str]) -> tuple[Any, dict[str, str]]:
        if parts[:2] == ["api", "models"]:
            name, kind, rest = "/".join(parts[2:4]), parts[4:5], parts[5:]
            self.fail("info")
            repository = self.repository(name)
            revision = "/".join(rest) or MAIN
            oid = repository.find(revision)
            files = repository.commits[oid]
            if kind == ["tree"]:
                return [self.entry(path, content) for path, content in files.items()], {}
            siblings = [{"rfilename": path} for path in files]
            return {"id": name, "sha": oid, "siblings": siblings}, {}
        if parts[2:3] != ["resolve"]:
            raise Refused(404, message="not served here")
        name, revision, path = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        repository = self.repository(name)
        oid = repository.find(revision)
        if path not in repository.commits[oid]:
            raise Refused(404, "EntryNotFound")
        content = repository.commits[oid][path]
        if self.command == "GET":
            self.server.downloads.append(f"{name}/{path}")
        etag = sha256(content).hexdigest()
        return content, {"ETag": f'"{etag}"', "X-Repo-Commit": oid}

    def write(self, parts: list[str]) -> tuple[Any, dict[str, str]]:
        if parts == ["api", "validate-yaml"]:
            head = json.loads(self.body)["content"].split("---\n")[1]
            yaml.safe_load(head)
            return {"errors": [], "warnings": []}, {}
        if parts == ["api", "repos", "create"]:
            return self.create(json.loads(self.body))
        if parts[-4:] == ["info", "lfs", "objects", "batch"]:
            return self.batch(f"{parts[0]}/{parts[1].removesuffix('.git')}")
        name, kind, revision = "/".join(parts[2:4]), parts[4], "/".join(parts[5:])
        self.may_write(name)
        self.fail(kind)
        repository = self.repository(name)
        if kind == "branch":
            if revision in repository.branches:
                raise Refused(409, message="the branch is there")
            repository.branches[revision] = repository.branches[MAIN]
            return {}, {}
        if kind == "preupload":
            return {
                "files": [
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if file["path"].endswith("tensors") else "regular",
                        "shouldIgnore": False,
                    }
                    for file in json.loads(self.body)["files"]
                ]
            }, {}
        assert kind == "commit"
        return self.commit(name, repository, revision)

    def create(self, asked: dict[str, Any]) -> tuple[Any, dict[str, str]]:
        name = f"{asked['organization']}/{asked['name']}"
        self.may_write(name)
        self.fail("create")
        address = {"url": f"{self.server.url}/{name}"}
        if name in self.server.repositories:
            raise Refused(409, **address, error="You already created this model repo")
        self.server.add(name).private = asked.get("visibility") == "private"
        return address, {}

    def batch(self, name: str) -> tuple[Any, dict[str, str]]:
        self.may_write(name)
        self.fail("batch")
        objects: list[dict[str, Any]] = json.loads(self.body)["objects"]
        for one in objects:
            if one["oid"] not in self.server.objects:
                one["actions"] = {"upload": {"href": f"{self.server.url}/lfs/{one['oid']}"}}
        return {"transfer": "basic", "objects": objects}, {}

    def store(self, parts: list[str]) -> tuple[Any, dict[str, str]]:
        self.fail("store")
        assert parts == ["lfs", sha256(self.body).hexdigest()]
        self.server.objects[parts[1]] = self.body
        return b"", {}

    def commit(
        self, name: str, repository: Repository, revision: str
    ) -> tuple[Any, dict[str, str]]:
        lines = [json.loads(line) for line in self.body.splitlines()]
        head = repository.find(revision)
        files = dict(repository.commits[head])
        summary = ""
        for line in lines:
            value = line["value"]
            match line["key"]:
                case "header":
                    summary = value["summary"]
                    if value.get("parentCommit", head) != head:
                        raise Refused(412, message="the branch has moved")
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.server.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
                case other:
                    raise AssertionError(other)
            if "path" in value:
                self.server.uploads.append(f"{line['key']} {value['path']}")
        oid = repository.commit(files, revision, summary)
        return {"commitUrl": f"{self.server.url}/{name}/commit/{oid}", "commitOid": oid}, {}

    def repository(self, name: str) -> Repository:
        """Return a repository that the asker may see."""
        if name in self.server.gated:
            raise Refused(403, "GatedRepo")
        found = self.server.repositories.get(name)
        if found is None or (found.private and not self.known()):
            raise Refused(404, "RepoNotFound")
        return found

    def known(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def may_write(self, name: str) -> None:
        if not self.known():
            raise Refused(401, message="Invalid credentials in Authorization header")
        if not name.startswith("someone/"):
            owner = name.split("/")[0]
            raise Refused(403, message=f'You don\'t have the rights under "{owner}"')

    def fail(self, kind: str) -> None:
        if kind in self.server.failing:
            raise self.server.failing[kind]

    @staticmethod
    def entry(path: str, content: bytes) -> dict[str, Any]:
        oid = sha1(content).hexdigest()
        return {"type": "file", "path": path, "size": len(content), "oid": oid}

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


sends_files = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
"""Tests in which the client sends files, in a way that its own HTTP library warns of."""


@contextmanager
def served() -> Iterator[Hub]:
    """Serve an empty hub."""
    server = Hub()
    with answering(server):
        yield server


@contextmanager
def used(hub: Hub, cache: Path, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the real client of this process talk to a hub, logged in and with an empty cache."""
    from huggingface_hub import constants
    from huggingface_hub.utils import close_session

    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    patch.setattr(constants, "ENDPOINT", hub.url)
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(constants, "HF_TOKEN_PATH", str(cache / "token"))
    patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    patch.setenv("HF_TOKEN", TOKEN)
    patch.setenv("NO_PROXY", "127.0.0.1")
    close_session()  # it has read the environment
    try:
        yield
    finally:
        close_session()
