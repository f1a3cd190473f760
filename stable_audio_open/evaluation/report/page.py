"""The report as an HTML page on which some of the files can be heard."""

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

from stable_audio_open.evaluation.generations.sets import Item
from stable_audio_open.evaluation.report.markdown import describe, heading, name, number
from stable_audio_open.evaluation.report.tables import Row, Run, Table
from stable_audio_open.pages.html import html_page

STYLE = """
body { max-width: 60rem; }
tr.ours { font-weight: bold; background: #eef3fa; }
ul { color: #566; font-size: 13px; overflow-wrap: anywhere; }
audio { width: 20rem; max-width: 100%; }
"""


def page(tables: Sequence[Table], runs: Sequence[Run], *, folder: Path, players: int) -> str:
    """Return a page that needs nothing but the audio files.

    Args:
        tables: All.
        runs: Those whose files can be heard.
        folder: Of the page; players find the files relative to it.
        players: For each run, so many of its files, evenly spread over it.
    """
    body = "".join(map(_table, tables)) + "".join(_players(run, folder, players) for run in runs)
    about = "".join(f"<li>{escape(describe(run))}</li>" for run in runs)
    return html_page("Evaluation", f"<ul>{about}</ul>\n{body}", STYLE)


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """Return at most `count` items, evenly spread and with the first one."""
    count = min(count, len(items))
    return [items[index * len(items) // count] for index in range(count)]


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in ("", *table.about))
    head += "".join(f'<th class="number">{escape(heading(m))}</th>' for m in table.metrics)
    notes = [*table.notes, f"Rows that are not ours: {table.source}."]
    return (
        f"<section><h2>Table {table.number}. {escape(table.title)}</h2>\n<table><thead><tr>{head}"
        f"</tr></thead><tbody>\n{''.join(map(_row, table.rows))}</tbody></table>\n"
        f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in notes)}</ul></section>\n"
    )


def _row(row: Row) -> str:
    cells = "".join(f"<td>{escape(text)}</td>" for text in (name(row), *row.about))
    cells += "".join(f'<td class="number">{number(value)}</td>' for value in row.values)
    return f'<tr class="ours">{cells}</tr>\n' if row.ours else f"<tr>{cells}</tr>\n"


def _players(run: Run, folder: Path, count: int) -> str:
    items = spread(run.items, count)
    if not items:
        return ""
    rows = "".join(
        f"<tr><td>{escape(item.prompt or item.clip)}</td><td>"
        f'<audio controls preload="none" src="{_address(Path(run.folder) / item.file, folder)}">'
        "</audio></td></tr>\n"
        for item in items
    )
    return (
        f"<section><h2>{escape(run.model)}: {run.kind}s for "
        f"{escape(run.settings.protocol)}</h2>\n<table><tbody>\n{rows}</tbody></table></section>\n"
    )


def _address(file: Path, folder: Path) -> str:
    relative = Path(os.path.relpath(file.resolve(), folder.resolve())).as_posix()
    return escape(quote(relative))
