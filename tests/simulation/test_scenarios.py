"""Incidents that happened to others, played: each file of `scenarios/` must come out as it says.

A scenario that cannot fail proves nothing: without what happens in it, each expects something in vain;
and where one gate or guard is what it is about, it fails without that one.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.simulation.clusters import CLUSTERS
from tests.simulation.mutants import MUTANTS

from mailward.controller import loop
from mailward.controller.core import episodes, gates
from mailward.controller.core.gates import Gate
from mailward.model.decision import Answered, Finding
from mailward.model.dns import Applied, ApplyResult
from mailward.model.fencing import HelperAnswer, HelperReply
from mailward.simulator.names import Zone
from mailward.simulator.nodes import Helper
from mailward.simulator.rehearsal import Played, rehearse
from mailward.simulator.scenario import Scenario, parse

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))
NAMES = [file.stem for file in FILES]
SEED = 1

Mute = Callable[[pytest.MonkeyPatch], None]


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


def test_the_same_seed_is_the_same_story() -> None:
    again = played(scenario("aws-2025-delayed-plan"))
    assert again == as_written("aws-2025-delayed-plan")
    assert again.story != played(scenario("aws-2025-delayed-plan"), SEED + 1).story


# without a gate or guard


def without(which: str, *gone: Gate) -> Mute:
    """The gates of one list, fewer."""

    def mute(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(gates, which, tuple(gate for gate in getattr(gates, which) if gate not in gone))

    return mute


def restarts_unseen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gates, "restart_seen", lambda _facts: "")
    patch.setattr(episodes, "restart_seen", lambda _facts: "")


def never_behind(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gates, "caught_up", lambda _case: Finding("caught-up", Answered.YES, "muted"))


def any_token_will_do(patch: pytest.MonkeyPatch) -> None:
    def compare_and_set(self: Zone, _expected: Any, new: Any, changes: Any) -> Applied:
        self.token = None
        done = original(self, None, new, changes)
        assert done.result is ApplyResult.APPLIED
        return done

    original = Zone.compare_and_set
    patch.setattr(Zone, "compare_and_set", compare_and_set)


def a_helper_obeys_anybody(patch: pytest.MonkeyPatch) -> None:
    def obey(self: Helper, token: Any, at_s: float, ports: Any, hello_s: float) -> HelperAnswer:
        self.token = None
        answer = original(self, token, at_s, ports, hello_s)
        assert answer.reply is HelperReply.OBEYED
        return answer

    original = Helper.obey
    patch.setattr(Helper, "obey", obey)


def nobody_is_deposed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(loop, "may_depose", lambda _snapshot: Finding("depose", Answered.NO, "muted"))


MUTED: dict[str, Mute] = {
    "aws-2025-delayed-plan": any_token_will_do,
    "facebook-2021-the-watcher-is-cut-off": without("WITHDRAW", gates.self_trust, gates.successor),
    "fastmail-sync-behind": never_behind,
    "github-2012-09-load": without("WITHDRAW", gates.rate),
    "github-2012-12-late-orders": any_token_will_do,
    "github-2018-ridden-out": without("WITHDRAW", gates.grace),
    "gocardless-2017-combined": without("WITHDRAW", gates.successor),
    "reddit-2016-pause": without("WITHDRAW", gates.not_paused),
    "restart-is-not-a-crash": restarts_unseen,
    "softlayer-2015-router-flaps": without("READMIT", gates.hold_down),
    "the-dead-are-not-believed": MUTANTS["old and tilted reports"],
    "the-leader-s-daemon-dies": nobody_is_deposed,
}


@pytest.mark.parametrize("name", MUTED)
def test_a_scenario_fails_without_the_guard_it_is_about(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTED[name](monkeypatch)
    assert not played(scenario(name), to_the_end=False).well
