"""Freesound's API over HTTP: patient with rate limits and faults, and silent about its keys."""

import string
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import httpx
import msgspec

from stable_audio_open.files.atomic import written_beside
from stable_audio_open.files.json_lines import NOT_JSON

Result = TypeVar("Result")

SITE = "https://freesound.org"
FIELDS = (
    "id,url,name,tags,description,created,license,type,channels,filesize,bitrate,bitdepth,"
    "duration,samplerate,username,pack,download,previews"
)
KEY, TOKEN = "FREESOUND_API_KEY", "FREESOUND_OAUTH_TOKEN"
ALLOWED = frozenset(string.ascii_letters + string.digits + "-._~+/=")
TOO_MANY, FIRST_SERVER_ERROR = 429, 500
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
MOST_PATIENT = 3600.0
"""Seconds: a server that asks for a longer wait, such as for the next day, ends the run."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one reply may cost, whatever the server sends."""

    page_bytes: int = 64 << 20
    """Bytes of a page, decompressed; one of 150 sounds has less than 1 MB."""
    file_bytes: int = 4 << 30
    """Bytes of a recording, decompressed."""
    seconds: float = 3600.0
    """Seconds until the last byte."""


class KeyRefusedError(ValueError):
    """The server does not take the key or the token."""


class Search(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text search; the names are the API's."""

    query: str = ""
    filter: str = ""
    """Filter such as `license:"Creative Commons 0" duration:[1 TO 30]`."""
    sort: str = "created_asc"
    """Oldest first, so that new sounds do not move the pages while they are fetched."""
    fields: str = FIELDS
    page_size: int = 150


class FreesoundClient:
    """Requests to one server, each tried again where that can help.

    Args:
        server: Scheme, host and port.
        key: Sent as `Authorization: Token KEY` to that server alone.
        token: OAuth2 token, which originals need.
        tries: Requests before a fault of the server or of the connection counts.
        timeout: Seconds without a byte.
        limits: What one reply may cost.
        sleep: Waits so many seconds.

    Raises:
        ValueError: The server is no URL, or the key or the token cannot be one.
    """

    def __init__(
        self,
        *,
        server: str = SITE,
        key: str = "",
        token: str = "",
        tries: int = 6,
        timeout: float = 60.0,
        limits: Limits = Limits(),  # noqa: B008, frozen
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not server.startswith(("http://", "https://")):
            raise ValueError(f"server is {server!r}; it must start with http:// or https://")
        for variable, value in ((KEY, key), (TOKEN, token)):
            if not set(value) <= ALLOWED:  # httpx would show it in its error
                raise ValueError(f"{variable} holds characters that no key has; copy it again")
        self.server = server.rstrip("/")
        self._key = key
        self._token = token
        self._tries = tries
        self._sleep = sleep
        self._limits = limits
        self._http = httpx.Client(
            timeout=timeout, follow_redirects=True, event_hooks={"request": [self._check_host]}
        )

    def __enter__(self) -> "FreesoundClient":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def search_page(self, search: Search, page: int) -> bytes:
        """Return the reply for one page, from 1, as the server wrote it.

        Raises:
            ValueError: The server refuses: a bad key, query or page.
            ConnectionError: It does not answer, after all tries.
        """
        parameters = {
            name: value for name, value in msgspec.structs.asdict(search).items() if value
        }
        url = str(
            httpx.URL(f"{self.server}/apiv2/search/text/").copy_merge_params(
                parameters | {"query": search.query, "page": page}
            )
        )
        return self._persist(
            url,
            f"Token {self._key}",
            KEY,
            lambda reply: b"".join(self._chunks(reply, self._limits.page_bytes)),
        )

    def download_preview(self, url: str, path: Path) -> None:
        """Fetch a preview, which needs no key.

        Raises:
            ValueError: The server refuses, the URL is of another host, or the file is too large.
            ConnectionError: It does not answer, or not with all bytes, after all tries.
        """
        self._persist(url, "", "no key", lambda reply: self._save(reply, path, None))

    def download_original(self, sound: int, path: Path, size: int | None) -> None:
        """Fetch the file that the author uploaded.

        Args:
            sound: Its number.
            path: Takes the file in one step.
            size: Bytes that it must have, where that is known.

        Raises:
            ValueError: The server refuses.
            ConnectionError: It does not answer, or not with all bytes, after all tries.
        """
        url = f"{self.server}/apiv2/sounds/{sound}/download/"
        self._persist(
            url, f"Bearer {self._token}", TOKEN, lambda reply: self._save(reply, path, size)
        )

    def _check_host(self, request: httpx.Request) -> None:
        """Let no reply send us, or a key, to another host; redirections come here too."""
        host, known = request.url.host, httpx.URL(SITE).host
        if host != httpx.URL(self.server).host and host != known and not host.endswith(f".{known}"):
            raise ValueError(
                f"{request.url.scheme}://{host}: a host that is neither {known} nor the server's; "
                "nothing is fetched from there"
            )

    def _chunks(self, reply: httpx.Response, most: int) -> Iterator[bytes]:
        """Yield the bytes of a reply, decompressed; refuse what is too long or takes too long."""
        place, end, got = _without_query(str(reply.url)), time.monotonic() + self._limits.seconds, 0
        for chunk in reply.iter_bytes():
            got += len(chunk)
            if got > most:
                raise ValueError(f"{place}: sends more than {most} bytes, the most that is taken")
            if time.monotonic() > end:
                raise ValueError(
                    f"{place}: has sent {got} bytes in {self._limits.seconds:g} s; nothing takes "
                    "longer"
                )
            yield chunk

    def _save(self, reply: httpx.Response, path: Path, size: int | None) -> None:
        got = 0
        with written_beside(path) as temporary:
            with temporary.open("xb") as file:
                for chunk in self._chunks(reply, self._limits.file_bytes):
                    file.write(chunk)
                    got += len(chunk)
                    if size is not None and got > size:
                        raise IncompleteError(f"got more bytes than the {size} of the sound")
            if not got or size not in (None, got):
                raise IncompleteError(f"got {got} bytes of {size or 'at least 1'}")

    def _persist(
        self,
        url: str,
        authorization: str,
        variable: str,
        use: Callable[[httpx.Response], Result],
    ) -> Result:
        """Return what `use` makes of a good reply; wait and try again after a fault that passes."""
        place = _without_query(url)
        headers = {"Authorization": authorization} if authorization else {}
        fault, wait = "", 0.0
        for attempt in range(self._tries):
            if attempt:
                self._sleep(wait)
            wait = min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)
            try:
                with self._http.stream("GET", url, headers=headers) as reply:
                    if reply.is_success:
                        return use(reply)
                    fault = f"{reply.status_code} {reply.reason_phrase}"
                    if reply.status_code == TOO_MANY:
                        wait = _wanted_wait(reply, wait)
                    elif reply.status_code < FIRST_SERVER_ERROR:
                        said = b"".join(self._chunks(reply, self._limits.page_bytes))
                        raise _refusal(reply, said, place, variable)
            except httpx.InvalidURL as error:
                raise ValueError(f"{place}: not a URL ({error})") from error
            except (httpx.RequestError, IncompleteError) as error:
                fault = f"{error or type(error).__name__}"
            if wait > MOST_PATIENT:
                fault += f", which asks to wait {wait:.0f} s"
                break
        raise ConnectionError(f"{place}: {fault}; run the same command again later to go on")


class IncompleteError(Exception):
    """A download of another size than it should have."""


def _without_query(url: str) -> str:
    return url.partition("?")[0]


def _wanted_wait(reply: httpx.Response, otherwise: float) -> float:
    """Return the seconds of Retry-After, which holds seconds or a date."""
    text = reply.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return otherwise


def _refusal(reply: httpx.Response, content: bytes, place: str, variable: str) -> ValueError:
    status = f"{place}: {reply.status_code} {reply.reason_phrase}"
    if reply.status_code == httpx.codes.UNAUTHORIZED:
        return KeyRefusedError(
            f"{status}: the server does not take the value of {variable}; make one at "
            f"{SITE}/apiv2/apply/"
        )
    try:
        said = " ".join(str(msgspec.json.decode(content)["detail"]).split())
    except (*NOT_JSON, KeyError, TypeError):
        said = "no reason given"
    return ValueError(f"{status}: {said}")
