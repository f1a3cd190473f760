"""Which recordings of a set belong together, such as all sounds of one caption."""

from pathlib import Path

from stable_audio_open.evaluation.rows import read_id_rows
from stable_audio_open.files.unicode_names import composed


def read_groups(path: Path) -> dict[str, str]:
    """Return the group of each id, of a CSV file with the columns id and group.

    Raises:
        ValueError: A column or a value is missing, an id has two groups, or there are no rows.
        OSError: The file cannot be read.
    """
    groups: dict[str, str] = {}
    for line, name, value in read_id_rows(path, "group"):
        group = composed(value)
        if groups.setdefault(name, group) != group:
            raise ValueError(
                f"{path}, line {line}: {name!r} is in the group {groups[name]!r} already; leave "
                "one line out"
            )
    return groups
