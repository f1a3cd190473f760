"""`stable-audio-open curate fetch`: metadata and recordings from Freesound."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from stable_audio_open.cli.printing import echo


def fetch(
    query: Annotated[str, typer.Argument(help='Words to search for; "" for everything.')],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Folder of pages and recordings.")
    ],
    filter: Annotated[
        str, typer.Option(help="The API's filter: 'license:\"Creative Commons 0\"'.")
    ] = "",
    sort: Annotated[str, typer.Option(help="The API's order.")] = "created_asc",
    page_size: Annotated[int, typer.Option(min=1, max=150, help="Sounds on a page.")] = 150,
    pages: Annotated[
        int | None, typer.Option(min=1, help="Pages in all.", show_default="all there are")
    ] = None,
    audio: Annotated[
        Literal["none", "previews", "originals"],
        typer.Option(help="Recordings too; originals need FREESOUND_OAUTH_TOKEN."),
    ] = "none",
    server: Annotated[
        str, typer.Option(metavar="URL", help="Server of the API.")
    ] = "https://freesound.org",
) -> None:
    """Search Freesound and keep what it answers; a stopped fetch goes on where it was.

    The key comes from FREESOUND_API_KEY. Read the result with `curate ingest freesound DIR/pages
    --audio DIR/audio`.
    """
    import os

    from stable_audio_open.curation.sources.freesound_api import KEY, TOKEN, FreesoundClient, Search
    from stable_audio_open.curation.sources.freesound_fetch import (
        FAILURES,
        fetch_audio,
        fetch_pages,
    )

    key, token = os.environ.get(KEY, "").strip(), os.environ.get(TOKEN, "").strip()
    if not key:
        raise ValueError(f"{KEY} is not set; make a key at https://freesound.org/apiv2/apply/")
    if audio == "originals" and not token:
        raise ValueError(f"{TOKEN} is not set; originals need an OAuth2 token of Freesound")
    search = Search(query=query, filter=filter, sort=sort, page_size=page_size)
    fetched = 0

    def note(_: object) -> None:
        nonlocal fetched
        fetched += 1

    with FreesoundClient(server=server, key=key, token=token) as client:
        there = fetch_pages(client, search, output, most=pages, report=note)
        echo(f"{output}: {there} pages, {fetched} of them new")
        if audio == "none":
            return
        fetched = 0
        count, failures = fetch_audio(client, output, audio, pages=there, report=note)
    failed = f"; {len(failures)} failed, see {output / FAILURES}" if failures else ""
    echo(f"{output}: {count} recordings, {fetched} of them new{failed}")
