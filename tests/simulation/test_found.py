"""What runs by chance once found, shrunk to the faults it takes: `found/*.txt`, and how a run is shrunk.

Each broke a rule while a guard was missing. With the guard it breaks none; without it, still the same one.
"""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.simulation.mutants import MUTANTS
from tests.simulation.shrinking import Story, drawn_story, shrunk, story_of

from mailward.simulator.run import strikes_of

FOUND = sorted(Path(__file__).with_name("found").glob("*.txt"))


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_is_not_there_any_more(path: Path) -> None:
    assert story_of(path.read_text()).play().violations == ()


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_it_comes_back_without_the_guard(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = story_of(path.read_text())
    assert story.without
    for name in story.without:
        MUTANTS[name](monkeypatch)
    broken = story.play().violations
    first = path.read_text().splitlines()[0].removeprefix("# ")
    assert first in "; ".join(broken), broken


def test_a_story_is_read_as_it_was_written() -> None:
    story = replace(drawn_story("two-sites", 3, 0.1), without=("pause", "rate"))
    assert story_of(f"# why\n{story}\n") == story


def test_a_line_that_is_no_fault_is_named() -> None:
    with pytest.raises(ValueError, match="'at noon'"):
        story_of("cluster: two-sites\nseed: 1\nhours: 1\nat noon\n")


def test_shrinking_leaves_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS["publish before fence"](monkeypatch)
    whole = Story("two-sites", 5, 0.25, strikes_of(5, 0.25, ("crash", "pause"), 15.0))
    assert len(whole.strikes) > 5
    least, why = shrunk(whole)
    assert "was closed while primary names it" in why
    assert 1 <= len(least.strikes) <= 2
