"""Golden files: a change of a table is a diff to be reviewed. MAILWARD_UPDATE_GOLDEN=1 writes them anew."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    def check(name: str, text: str) -> None:
        kept = FOLDER / name
        if os.environ.get("MAILWARD_UPDATE_GOLDEN") == "1":
            kept.write_text(text, encoding="utf-8")
        assert kept.exists(), f"no golden file {name}: MAILWARD_UPDATE_GOLDEN=1"
        assert kept.read_text(encoding="utf-8") == text, f"{name} differs; is the change meant?"

    return check
