"""Incidents that happened to others, and what happens to everybody, played: each file of `scenarios/` must
come out as it says.

A scenario that cannot fail proves nothing: without what happens in it, each expects something in vain;
and where a guard is what it is about, it fails without that one.
"""

from functools import cache
from pathlib import Path

import pytest
from tests.simulation.clusters import CLUSTERS
from tests.simulation.mutants import MUTANTS

from mailward.simulator.rehearsal import Played, rehearse
from mailward.simulator.scenario import Scenario, parse

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))
NAMES = [file.stem for file in FILES]
SEED = 1


def scenario(name: str) -> Scenario:
    return parse((Path(__file__).parent / "scenarios" / f"{name}.txt").read_text(encoding="utf-8"))


def played(story: Scenario, seed: int = SEED, *, to_the_end: bool = True) -> Played:
    policy = CLUSTERS[story.cluster]()
    assert story.problems(policy) == ()
    return rehearse(policy, story, seed, to_the_end=to_the_end)


def assert_well(outcome: Played) -> None:
    unmet = [f"line {e.line}: {e.text}: {e.why}" for e in outcome.expected if not e.met]
    assert [*unmet, *outcome.violations] == [], f"{outcome.title}, seed {outcome.seed}"


@cache
def as_written(name: str) -> Played:
    return played(scenario(name))


@pytest.mark.parametrize("name", NAMES)
def test_what_happened_to_others_comes_out_as_the_scenario_says(name: str) -> None:
    assert_well(as_written(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_expects_something_in_vain_when_nothing_happens(name: str) -> None:
    story = scenario(name)
    story.events.clear()
    outcome = played(story, to_the_end=False)
    assert outcome.violations == ()
    assert any(not each.met for each in outcome.expected)


def test_clients_of_each_endpoint_ask_the_targets_that_publish_it() -> None:
    """One of the endpoints is on the second target only: all asked the first one, and knew nobody."""
    served = "throughout clients of every endpoint are served"
    story = parse(f"# Nothing happens\ncluster: three-nodes\n{served}\nat 60 s the story ends\n")
    assert played(story).well


def test_the_same_seed_is_the_same_story() -> None:
    again = played(scenario("aws-2025-delayed-plan"))
    assert again == as_written("aws-2025-delayed-plan")
    assert again.story != played(scenario("aws-2025-delayed-plan"), SEED + 1).story


# without the guards it is about

MUTED: dict[str, tuple[str, ...]] = {
    "aws-2025-delayed-plan": ("name servers compare tokens",),
    "facebook-2021-the-watcher-is-cut-off": ("successor",),
    "fastmail-sync-behind": ("caught up",),
    "github-2012-09-load": ("rate",),
    "github-2012-12-late-orders": ("name servers compare tokens",),
    "github-2018-ridden-out": ("grace",),
    "gocardless-2017-combined": ("successor",),
    "reddit-2016-pause": ("pause",),
    "restart-is-not-a-crash": ("restarts are seen",),
    "softlayer-2015-router-flaps": ("hold-down",),
    "the-dead-are-not-believed": ("old and tilted reports",),
    "the-leader-s-daemon-dies": ("a leader that ended is deposed",),
}
"""By their names in `MUTANTS`: the guard that is missed, and what stands behind it."""


@pytest.mark.parametrize("name", MUTED)
def test_a_scenario_fails_without_the_guard_it_is_about(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    behind = MUTED[name][1:]
    for guard in behind:
        MUTANTS[guard](monkeypatch)
    assert not behind or played(scenario(name), to_the_end=False).well, "it is not what stands behind"
    MUTANTS[MUTED[name][0]](monkeypatch)
    assert not played(scenario(name), to_the_end=False).well
