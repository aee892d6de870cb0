"""Golden files: MAILWARD_UPDATE_GOLDEN=1 writes what is rendered now; read the diff before keeping it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with the kept file of that name; MAILWARD_UPDATE_GOLDEN=1 rewrites the files."""
    update = os.environ.get("MAILWARD_UPDATE_GOLDEN") == "1"

    def check(name: str, text: str) -> None:
        kept = GOLDEN / name
        if update:
            kept.write_text(text, encoding="utf-8")
        assert kept.exists(), f"no golden file {name}: look at the text, then MAILWARD_UPDATE_GOLDEN=1"
        same = text == kept.read_text(encoding="utf-8")
        assert same, f"{name} differs; look at it: MAILWARD_UPDATE_GOLDEN=1, then git diff"

    return check
