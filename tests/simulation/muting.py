"""A pytest plugin that takes a guard away from whatever is tested: MAILWARD_WITHOUT names it."""

import os

import pytest
from tests.simulation.mutants import MUTANTS


@pytest.fixture(autouse=True)
def without_a_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[os.environ["MAILWARD_WITHOUT"]](monkeypatch)
