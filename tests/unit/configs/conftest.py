"""The good file, a way to break it, and what is said then."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from tests.unit.configs.good import FILES, GOOD, Edit, Loaded, Problems

from mailward.configs.loading import load
from mailward.configs.schema import Config
from mailward.model.errors import ConfigError


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    """A folder with every file the configuration names."""
    for name, content in FILES.items():
        (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(0o600)
    return tmp_path


@pytest.fixture
def loaded(etc: Path) -> Loaded:
    """`loaded(*edits)`: the good file with each (old, new) replaced once, loaded."""

    def run(*edits: Edit, text: str = GOOD, environ: Mapping[str, str] | None = None) -> Config:
        for old, new in edits:
            assert text.count(old) >= 1, f"{old!r} is not in the file"
            text = text.replace(old, new, 1)
        (etc / "mailward.yaml").write_text(text)
        return load(etc / "mailward.yaml", environ or {})

    return run


@pytest.fixture
def problems(loaded: Loaded) -> Problems:
    """The same for a file with mistakes: the exact problems."""

    def run(*edits: Edit, text: str = GOOD, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
        with pytest.raises(ConfigError) as caught:
            loaded(*edits, text=text, environ=environ)
        return caught.value.problems

    return run
