"""The sheet on which a person listens to what waits, and decides."""

import html
import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

from stable_audio_open.curation.review.table import FILLED, OpenCase
from stable_audio_open.files.atomic import replace_bytes
from stable_audio_open.pages.html import html_page

STYLE = """
body { max-width: none; }
table { width: 100%; } th, td { padding: .5rem; border-bottom: 1px solid #ccc; }
audio { width: 18rem; }
ul { margin: 0; padding-left: 1.2rem; }
"""

SCRIPT = """
document.getElementById("save").addEventListener("click", () => {
  const cell = (text) => '"' + text.replaceAll('"', '""') + '"';
  const lines = [...document.querySelectorAll("tr[data-id]")].map((row) => [
    row.dataset.id, row.querySelector("select").value, row.querySelector("input").value,
  ].map(cell).join(","));
  const text = [HEADER, ...lines].join("\\r\\n") + "\\r\\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "review.csv";
  link.click();
});
"""


def write_page(path: Path, cases: Sequence[OpenCase], *, audio: Path | None) -> None:
    """Write an HTML file that needs nothing but the recordings.

    Its button saves the verdicts as a table that `read_answers` reads. Whatever comes from the
    catalogue is escaped.

    Args:
        path: Of the page.
        cases: What waits.
        audio: Folder of the recordings, which the players find relative to the page; no players
            when None.
    """
    rows = "\n".join(_row(case, path.parent, audio) for case in cases)
    script = SCRIPT.replace("HEADER", f'"{",".join(FILLED)}"')
    body = (
        '\n<p><button id="save">Save review.csv</button> What has no verdict stays open.</p>\n'
        "<table><thead><tr><th>Recording</th><th>Audio</th><th>Why it waits</th><th>Verdict</th>"
        f"<th>Note</th></tr></thead><tbody>\n{rows}\n</tbody></table>\n"
        f"<script>{script}</script>"
    )
    heading = f"{len(cases)} recordings wait for a decision"
    replace_bytes(path, html_page("Review", body, STYLE, heading=heading).encode())


def _row(case: OpenCase, folder: Path, audio: Path | None) -> str:
    record, reasons = case
    name = html.escape(record.title or record.id)
    if record.page_url and urlsplit(record.page_url).scheme in ("http", "https"):
        name = f'<a href="{html.escape(record.page_url)}">{name}</a>'
    about = [record.artist or record.author, record.id, record.licence]
    details = "<br>".join(html.escape(text) for text in about if text)
    why = "".join(
        f"<li>{html.escape(decision.stage)}: {html.escape(decision.reason)} "
        f"<small>({html.escape(decision.by)}, {html.escape(decision.at)})</small></li>"
        for decision in reasons
    )
    label = html.escape(record.id)
    return (
        f'<tr data-id="{label}"><td>{name}<br><small>{details}</small></td>'
        f"<td>{_player(record.file, folder, audio)}</td><td><ul>{why}</ul></td>"
        f'<td><select aria-label="verdict on {label}"><option></option><option>keep</option>'
        "<option>drop</option></select></td>"
        f'<td><input aria-label="note on {label}"></td></tr>'
    )


def _player(file: str | None, folder: Path, audio: Path | None) -> str:
    if file is None or audio is None:
        return ""
    relative = Path(os.path.relpath(audio.resolve() / file, folder.resolve())).as_posix()
    return f'<audio controls preload="none" src="{html.escape(quote(relative))}"></audio>'
