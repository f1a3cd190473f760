import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from stable_audio_open.cli.main import main
from stable_audio_open.curation.catalogue.parquet import read_catalogue
from stable_audio_open.curation.sources.freesound_api import (
    FreesoundClient,
    KeyRefusedError,
    Limits,
    Search,
)
from stable_audio_open.curation.sources.freesound_fetch import fetch_audio, fetch_pages
from tests.freesound_server import KEY, TOKEN, Server, mp3, served, wav

SEARCH = Search(query="kick drum", filter='license:"Creative Commons 0"', page_size=2)


@pytest.fixture
def server() -> Iterator[Server]:
    with served() as server:
        yield server


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def client(server: Server, waits: list[float]) -> Iterator[FreesoundClient]:
    with FreesoundClient(
        server=server.url, key=KEY, token=TOKEN, sleep=waits.append, tries=4
    ) as client:
        yield client


def page_numbers(server: Server) -> list[int]:
    return [int(query["page"][0]) for path, query, _ in server.asked if "search" in path]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_search_is_asked_as_documented(
    server: Server, client: FreesoundClient, tmp_path: Path
) -> None:
    assert fetch_pages(client, SEARCH, tmp_path) == 3
    path, query, authorization = server.asked[0]
    assert path == "/apiv2/search/text/"
    assert authorization == f"Token {KEY}"
    assert query["fields"][0].split(",")[:3] == ["id", "url", "name"]
    assert query | {"fields": []} == {
        "query": ["kick drum"],
        "filter": ['license:"Creative Commons 0"'],
        "sort": ["created_asc"],
        "fields": [],
        "page": ["1"],
        "page_size": ["2"],
    }
    assert page_numbers(server) == [1, 2, 3]
    names = ["page-00001.json", "page-00002.json", "page-00003.json"]
    assert sorted(files(tmp_path / "pages")) == names


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([(429, {"Retry-After": "7"})], [7.0]),
        ([(429, {}), (500, {}), "drop"], [1.0, 2.0, 4.0]),
        ([(503, {}), (429, {"Retry-After": "0"})], [1.0, 0.0]),
        ([(429, {"Retry-After": "Mon, 01 Jan 2001 00:00:00 GMT"})], [0.0]),
        (["cut", "cut"], [1.0, 2.0]),
    ],
)
def test_what_passes_is_waited_for(
    server: Server,
    client: FreesoundClient,
    waits: list[float],
    tmp_path: Path,
    faults: list[Any],
    expected: list[float],
) -> None:
    server.faults = faults
    assert fetch_pages(client, SEARCH, tmp_path, most=1) == 1
    assert waits == expected


def test_patience_ends_and_the_next_run_goes_on(
    server: Server, client: FreesoundClient, waits: list[float], tmp_path: Path
) -> None:
    server.faults = [None] + [(500, {})] * 4
    with pytest.raises(ConnectionError, match=r"/search/text/: 500 Internal Server Error; run the"):
        fetch_pages(client, SEARCH, tmp_path)
    assert waits == [1.0, 2.0, 4.0]
    assert page_numbers(server) == [1, 2, 2, 2, 2]
    server.asked.clear()
    fetched: list[int] = []
    assert fetch_pages(client, SEARCH, tmp_path, report=fetched.append) == 3
    assert page_numbers(server) == fetched == [2, 3]
    server.asked.clear()
    assert fetch_pages(client, SEARCH, tmp_path) == 3
    assert server.asked == []


def test_a_wait_until_tomorrow_ends_the_run(
    server: Server, client: FreesoundClient, waits: list[float], tmp_path: Path
) -> None:
    server.faults = [(429, {"Retry-After": "80000"})]
    with pytest.raises(ConnectionError, match="429 Too Many Requests, which asks to wait 80000 s"):
        fetch_pages(client, SEARCH, tmp_path)
    assert waits == []


def test_another_search_does_not_go_on(client: FreesoundClient, tmp_path: Path) -> None:
    fetch_pages(client, SEARCH, tmp_path, most=1)
    with pytest.raises(ValueError, match="this folder is of another search \\('kick drum', filter"):
        fetch_pages(client, Search(query="snare"), tmp_path)


def test_previews_need_no_key_and_are_fetched_once(
    server: Server, client: FreesoundClient, tmp_path: Path
) -> None:
    pages = fetch_pages(client, SEARCH, tmp_path)
    server.asked.clear()
    server.removed = {3}
    server.faults = ["cut", "drop"]
    there, failures = fetch_audio(client, tmp_path, "previews", pages=pages)
    assert there == 4
    assert {authorization for _, _, authorization in server.asked} == {None}
    assert files(tmp_path / "audio") == {f"{n}.mp3": mp3(n) for n in (1, 2, 4, 5)}
    assert [failure.id for failure in failures] == ["freesound:3"]
    assert failures[0].reason == f"{server.url}/previews/3.mp3: 404 Not Found: Not found."
    server.asked.clear()
    server.removed.clear()
    assert fetch_audio(client, tmp_path, "previews", pages=pages) == (5, [])
    assert [path for path, _, _ in server.asked] == ["/previews/3.mp3"]
    assert (tmp_path / "failures.jsonl").read_bytes() == b""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "../1"}, "id is '../1'; a sound of Freesound has a number"),
        ({"id": True}, "id is True; a sound"),
        ({"id": -1}, "id is -1; a sound"),
        ({"id": 10**30}, f"id is {10**30}; a sound"),
        ({"previews": {"preview-hq-mp3": "file:///etc/passwd"}}, "the reply must give its URL"),
        (
            {"previews": {"preview-hq-mp3": "http://169.254.169.254/latest/meta-data"}},
            "http://169.254.169.254: a host that is neither freesound.org nor the server's",
        ),
        (
            {"previews": {"preview-hq-mp3": "https://freesound.org.evil.example/1.mp3"}},
            "https://freesound.org.evil.example: a host that is neither",
        ),
        ({"previews": {"preview-hq-mp3": "http://a\x00b"}}, "not a URL"),
    ],
)
def test_what_a_server_names_is_checked(
    server: Server, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    page = {"results": [server.sound(1) | change, server.sound(2)], "next": None}
    body = json.dumps(page).encode()
    server.replies["/apiv2/search/text/"] = (200, {}, body)
    with FreesoundClient(server=server.url, key=KEY, tries=1) as client:
        fetch_pages(client, SEARCH, tmp_path)
        there, failures = fetch_audio(client, tmp_path, "previews", pages=1)
    assert there == 1
    assert files(tmp_path / "audio") == {"2.mp3": mp3(2)}
    assert message in failures[0].reason


@pytest.mark.parametrize("ending", ["sh", "wav/../../x", "", None, 3, "WAV "])
def test_an_original_of_another_kind_is_not_fetched(
    server: Server, client: FreesoundClient, tmp_path: Path, ending: object
) -> None:
    page = {"results": [server.sound(1) | {"type": ending}], "next": None}
    server.replies["/apiv2/search/text/"] = (200, {}, json.dumps(page).encode())
    fetch_pages(client, SEARCH, tmp_path)
    there, [failure] = fetch_audio(client, tmp_path, "originals", pages=1)
    assert there == 0
    assert failure.reason.startswith(f"type is {ending!r}; it must be one of aif, aiff, ")


def test_a_redirection_leads_to_no_other_host(
    server: Server, client: FreesoundClient, tmp_path: Path
) -> None:
    pages = fetch_pages(client, SEARCH, tmp_path, most=1)
    away = (302, {"Location": "http://localhost.example/x"}, b"")
    server.replies["/previews/1.mp3"] = away
    server.replies["/previews/2.mp3"] = (302, {"Location": "/previews/5.mp3"}, b"")
    _, [failure] = fetch_audio(client, tmp_path, "previews", pages=pages)
    assert files(tmp_path / "audio") == {"2.mp3": mp3(5)}
    assert "http://localhost.example: a host that is neither" in failure.reason


def test_a_reply_costs_no_more_than_the_limits(server: Server, tmp_path: Path) -> None:
    limits = Limits(page_bytes=20_000, file_bytes=10_000)
    server.replies["/previews/1.mp3"] = (200, {}, bytes(10_001))
    bomb = {"Content-Encoding": "gzip"}, gzip.compress(bytes(1_000_000))
    server.replies["/previews/2.mp3"] = (200, *bomb)
    with FreesoundClient(server=server.url, key=KEY, limits=limits) as client:
        pages = fetch_pages(client, SEARCH, tmp_path)
        there, failures = fetch_audio(client, tmp_path, "previews", pages=pages)
        assert there == 3
        assert [failure.reason for failure in failures] == [
            f"{server.url}/previews/{n}.mp3: sends more than 10000 bytes, the most that is taken"
            for n in (1, 2)
        ]
        assert sorted(files(tmp_path / "audio")) == ["3.mp3", "4.mp3", "5.mp3"]
        server.replies["/apiv2/search/text/"] = (200, *bomb)
        with pytest.raises(ValueError, match=r"/search/text/: sends more than 20000 bytes"):
            fetch_pages(client, SEARCH, tmp_path / "more")
    assert not list((tmp_path / "more" / "pages").iterdir())


def test_a_reply_may_not_trickle_for_ever(server: Server, tmp_path: Path) -> None:
    with (
        FreesoundClient(server=server.url, key=KEY, limits=Limits(seconds=0.0)) as client,
        pytest.raises(ValueError, match=r"has sent \d+ bytes in 0 s; nothing takes longer"),
    ):
        fetch_pages(client, SEARCH, tmp_path)


def test_one_recording_that_never_comes_stops_no_other(
    server: Server, waits: list[float], tmp_path: Path
) -> None:
    with FreesoundClient(server=server.url, key=KEY, sleep=waits.append, tries=2) as client:
        pages = fetch_pages(client, SEARCH, tmp_path)
        server.replies["/previews/1.mp3"] = (500, {}, b"")
        server.replies["/previews/3.mp3"] = (500, {}, b"")
        there, failures = fetch_audio(client, tmp_path, "previews", pages=pages)
        assert (there, [failure.id for failure in failures]) == (3, ["freesound:1", "freesound:3"])
        assert "1.mp3: 500 Internal Server Error; run the same" in failures[0].reason
        # Three in a row are a server that is gone; what is there already says nothing of it.
        for number in (2, 4, 5):
            (tmp_path / "audio" / f"{number}.mp3").unlink()
        server.faults = [(500, {})] * 20
        server.asked.clear()
        with pytest.raises(ConnectionError, match=r"3\.mp3: 500 Internal Server Error"):
            fetch_audio(client, tmp_path, "previews", pages=pages)
        assert len(server.asked) == 6
        # They are named all the same.
        listed = (tmp_path / "failures.jsonl").read_text().splitlines()
        assert [json.loads(line)["id"] for line in listed] == [f"freesound:{n}" for n in (1, 2, 3)]


def test_an_empty_page_with_a_next_one_ends_the_search(
    server: Server, client: FreesoundClient, tmp_path: Path
) -> None:
    page = json.dumps({"results": [], "next": "x"}).encode()
    server.replies["/apiv2/search/text/"] = (200, {}, page)
    with pytest.raises(ValueError, match=r"page-00001\.json: has no sounds, but a next page"):
        fetch_pages(client, SEARCH, tmp_path)


def test_originals_come_with_the_token_and_of_the_right_size(
    server: Server, client: FreesoundClient, tmp_path: Path
) -> None:
    pages = fetch_pages(client, SEARCH, tmp_path, most=1)
    server.asked.clear()
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "1.wav").write_bytes(b"of another size")
    assert fetch_audio(client, tmp_path, "originals", pages=pages) == (2, [])
    assert files(tmp_path / "audio") == {"1.wav": wav(1), "2.wav": wav(2)}
    assert server.asked == [(f"/apiv2/sounds/{n}/download/", {}, f"Bearer {TOKEN}") for n in (1, 2)]
    with pytest.raises(ConnectionError, match="got more bytes than the 5 of the sound; run"):
        client.download_original(3, tmp_path / "3.wav", 5)
    assert not (tmp_path / "3.wav").exists()


def test_a_bad_token_ends_the_run(server: Server, client: FreesoundClient, tmp_path: Path) -> None:
    pages = fetch_pages(client, SEARCH, tmp_path, most=1)
    with (
        FreesoundClient(server=server.url, token="old") as other,
        pytest.raises(
            KeyRefusedError, match=r"401 Unauthorized: .* value of FREESOUND_OAUTH_TOKEN"
        ),
    ):
        fetch_audio(other, tmp_path, "originals", pages=pages)


def test_keys_are_never_shown(server: Server) -> None:
    with pytest.raises(ValueError, match=r"^FREESOUND_API_KEY holds characters that no key has; "):
        FreesoundClient(server=server.url, key="se\ncret")
    with pytest.raises(ValueError, match=r"^server is 'freesound\.org'; it must start with http"):
        FreesoundClient(server="freesound.org", key=KEY)


@pytest.fixture
def fetch(
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FREESOUND_API_KEY", KEY)
    monkeypatch.delenv("FREESOUND_OAUTH_TOKEN", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        words = ["curate", "fetch", "kick", "-o", "got", "--server", server.url, *arguments]
        code = main(words)
        shown = capsys.readouterr()
        assert KEY not in shown.out + shown.err
        return code, shown.out, shown.err

    return run


def test_the_command_fetches_what_ingest_reads(
    server: Server, fetch: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    server.faults = [(429, {"Retry-After": "0"})]
    server.removed = {2}
    assert fetch("--page-size", "4", "--audio", "previews") == (
        0,
        "got: 2 pages, 2 of them new\n"
        "got: 4 recordings, 4 of them new; 1 failed, see got/failures.jsonl\n",
        "",
    )
    command = ["curate", "ingest", "freesound", "got/pages", "--audio", "got/audio", "-o", "c"]
    assert main(command) == 0
    assert [(record.id, record.file) for record in read_catalogue(tmp_path / "c")] == [
        ("freesound:1", "1.mp3"),
        ("freesound:2", None),
        ("freesound:3", "3.mp3"),
        ("freesound:4", "4.mp3"),
        ("freesound:5", "5.mp3"),
    ]


def test_the_command_says_in_one_line_what_is_wrong_with_the_key(
    server: Server,
    fetch: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, out, error = fetch("--audio", "originals")
    assert (code, out) == (2, "")
    assert error == (
        "stable-audio-open: FREESOUND_OAUTH_TOKEN is not set; originals need an OAuth2 token of "
        "Freesound\n"
    )
    monkeypatch.setenv("FREESOUND_API_KEY", "wrong")
    code, out, error = fetch()
    assert (code, out) == (2, "")
    assert error == (
        f"stable-audio-open: {server.url}/apiv2/search/text/: 401 Unauthorized: the server does "
        "not take the value of FREESOUND_API_KEY; make one at https://freesound.org/apiv2/apply/\n"
    )
    assert "wrong" not in error
    monkeypatch.delenv("FREESOUND_API_KEY")
    assert fetch()[2] == (
        "stable-audio-open: FREESOUND_API_KEY is not set; make a key at "
        "https://freesound.org/apiv2/apply/\n"
    )
