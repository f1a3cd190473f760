from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Stages that workers can import: they look where this process looks."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    import engine_stages

    return engine_stages
