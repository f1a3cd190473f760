"""The house keeps its plan: rooms and files stay small enough to be read at a look."""

from collections import Counter
from pathlib import Path

HOUSE = Path(__file__).parent.parent / "stable_audio_open"
FILES = 15
LINES = 350


def modules() -> list[Path]:
    return [path for path in HOUSE.rglob("*.py") if path.name != "__init__.py"]


def test_no_room_has_too_many_files() -> None:
    rooms = Counter(path.parent.relative_to(HOUSE).as_posix() for path in modules())
    assert len(rooms) > 50
    assert {room: count for room, count in rooms.items() if count > FILES} == {}


def test_no_file_is_too_long() -> None:
    lines = {
        path.relative_to(HOUSE).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules()
    }
    assert {name: count for name, count in lines.items() if count > LINES} == {}
