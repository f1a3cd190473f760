"""Which recordings of a set belong together, such as all sounds of one caption."""

import csv
from pathlib import Path

from stable_audio_open.files.tables import original
from stable_audio_open.files.text import open_table
from stable_audio_open.files.unicode_names import composed

COLUMNS = ("id", "group")


def read_groups(path: Path) -> dict[str, str]:
    """Return the group of each id, of a CSV file with the columns id and group.

    Raises:
        ValueError: A column or a value is missing, an id has two groups, or there are no rows.
        OSError: The file cannot be read.
    """
    groups: dict[str, str] = {}
    with open_table(path) as file:
        rows = csv.DictReader(file)
        try:
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{path}: lacks the column {missing[0]!r}, has {rows.fieldnames}; the first "
                    "line must name id and group"
                )
            for row in rows:
                name, group = (composed(original(row[column] or "").strip()) for column in COLUMNS)
                if not (name and group):
                    raise ValueError(f"{path}, line {rows.line_num}: needs an id and a group")
                if groups.setdefault(name, group) != group:
                    raise ValueError(
                        f"{path}, line {rows.line_num}: {name!r} is in the group "
                        f"{groups[name]!r} already; leave one line out"
                    )
        except csv.Error as error:
            raise ValueError(f"{path}: not a CSV file ({error})") from error
    if not groups:
        raise ValueError(f"{path}: holds no groups; add a line for each recording")
    return groups
