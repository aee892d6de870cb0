"""A run outside the fault model says so, and what is not counted as a violation is counted with its reason.

A scenario and a run by chance judge the same event in the same way: they have one audit.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.simulation.clusters import two_sites_and_a_witness
from tests.simulation.soak import Totals
from tests.simulation.test_checkers import claimed, hang, move, obeyed, publish, said_down, token

from mailward.model.fencing import CLOSED
from mailward.model.policy import Policy
from mailward.model.state import Phase
from mailward.simulator import virtual
from mailward.simulator.audit import AFTER_LEAVING, Audit
from mailward.simulator.checkers import Checkers
from mailward.simulator.checkers.excuses import CAME_LATE, FAILED_UNSEEN, NAMED_LATE, TAKEN_LATE, Excuse
from mailward.simulator.nodes import Obeyed
from mailward.simulator.rehearsal import Told, rehearse
from mailward.simulator.run import play
from mailward.simulator.scenario import parse
from mailward.simulator.world import World

LEFT = "primary cannot refuse an old order, and one came late"
SLOW = """# The name server takes minutes for an update, and takes every one

at 1 s      the disk of primary-ns1 is slow by up to 3 min
at 2 s      somebody types mailward failover mail-a
by 1 s      mail-a is in every endpoint
at 10 min   the story ends
"""
QUIET = """# Nothing happens

by 1 s      mail-a is in every endpoint
at 20 s     the story ends
"""


def cannot_refuse() -> Policy:
    return replace(two_sites_and_a_witness(), unguarded=("primary",))


# one audit, by hand


def comes_late(world: World) -> None:
    """What was recorded a while ago arrives now."""
    recorded = world.recorded[token(1)]
    world.recorded[token(1)] = replace(recorded, at_s=world.now_s - 60.0)
    world.obeying["primary"].log.append(Obeyed(world.now_s, token(1), "publish"))
    world.on_change("")


def taken_late(world: World) -> None:
    """An update that was given up long ago names who does not serve any more."""
    hang(world, "mail-b")
    world.recorded[token(1)] = replace(world.recorded[token(1)], at_s=world.now_s - 60.0)
    publish(world, "192.0.2.11")
    world.on_change("")


def named_late(world: World) -> None:
    """An update that expired long ago names one who has closed by itself since."""
    publish(world, "192.0.2.10")
    world.on_change("")
    world.nodes["mail-b"].helper.held = True
    world.recorded[token(1)] = replace(world.recorded[token(1)], at_s=world.now_s - 60.0)
    publish(world, "192.0.2.10", "192.0.2.11")
    world.on_change("")


def given_up_in_vain(world: World) -> None:
    """A claim was to make an update void when mail-b had just failed, and was itself late."""
    hang(world, "mail-b")
    claimed(world, 2)
    said_down(world, "mail-b")
    world.on_change("")
    publish(world, "192.0.2.11")
    world.on_change("")


def failed_unseen(world: World) -> None:
    hang(world, "mail-b")
    publish(world, "192.0.2.11")
    world.on_change("")


def audited(policy: Policy, what: Callable[[World], None]) -> Audit:
    """A world without controllers that was well for half a minute, and then something happens."""

    async def body() -> Audit:
        world = World(policy, 1)
        audit = Audit(world)
        world.on_change = lambda _what: audit.look()
        move(world, Phase.IN_SERVICE)
        obeyed(world, "primary", 1)
        for _ in range(30):
            world.on_change("")
            await asyncio.sleep(1.0)
        assert (audit.violations, audit.excused, audit.outside) == ([], 0, ())
        audit.zero_s = world.now_s
        what(world)
        return audit

    return virtual.run(body())


@pytest.mark.parametrize(
    ("what", "policy", "excuse", "outside"),
    [
        (comes_late, cannot_refuse(), CAME_LATE, (LEFT,)),
        (taken_late, two_sites_and_a_witness(), TAKEN_LATE, ()),
        (named_late, two_sites_and_a_witness(), NAMED_LATE, ()),
        (given_up_in_vain, two_sites_and_a_witness(), TAKEN_LATE, ()),
        (failed_unseen, two_sites_and_a_witness(), FAILED_UNSEEN, ()),
    ],
    ids=[
        "an order comes late",
        "an update is taken late",
        "an update that is taken late names one who is closed",
        "an update is given up in vain",
        "whoever is left has just failed",
    ],
)
def test_an_excuse_is_counted_by_its_own_reason(
    what: Callable[[World], None], policy: Policy, excuse: Excuse, outside: tuple[str, ...]
) -> None:
    audit = audited(policy, what)
    assert audit.violations == []
    assert audit.excused_by_reason == {excuse.why: 1}
    assert (audit.excused, audit.outside) == (1, outside)


def test_who_was_closed_by_an_order_is_not_to_be_named_however_late() -> None:
    def named(world: World) -> None:
        helper = world.nodes["mail-b"].helper
        helper.ports = dict.fromkeys(helper.ports, CLOSED)
        named_late(world)

    assert any(
        "with submission, imaps closed" in each
        for each in audited(two_sites_and_a_witness(), named).violations
    )


def test_what_is_objected_to_is_a_violation_until_the_model_is_left_and_counts_once() -> None:
    heard: list[str] = []

    async def body() -> Audit:
        world = World(two_sites_and_a_witness(), 1)
        audit = Audit(world, heard.append)
        await asyncio.sleep(10.0)
        audit.zero_s = 4.0
        audit.object("I2: one")
        world.outside("a reason")
        for sentence in ("I2: one", "I2: two", "I2: two"):
            audit.object(sentence)
        return audit

    audit = virtual.run(body())
    assert (audit.violations, audit.set_aside) == (["6.0 s: I2: one"], ["6.0 s: I2: two"])
    assert (audit.excused_by_reason, audit.outside) == ({AFTER_LEAVING: 1}, ("a reason",))
    assert heard == ["I2: one", "I2: two"]


# in a scenario, and by chance


def test_a_scenario_that_leaves_the_model_says_so_and_what_it_excuses() -> None:
    played = rehearse(cannot_refuse(), parse(SLOW), 1)
    assert played.outside == (LEFT,)
    assert played.excused_by_reason[CAME_LATE.why] >= 1
    assert played.excused == sum(played.excused_by_reason.values())
    assert [line.text for line in played.story if line.kind is Told.OUTSIDE] == [LEFT]
    assert played.violations == ()


def test_a_scenario_in_which_all_can_refuse_stays_inside() -> None:
    played = rehearse(two_sites_and_a_witness(), parse(SLOW), 1)
    assert (played.outside, played.set_aside) == ((), ())


def test_after_the_model_was_left_a_scenario_and_a_run_by_chance_set_the_same_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def look(_self: Checkers, world: World) -> list[str]:
        world.outside("a reason")
        return ["I2: somebody was lost"]

    monkeypatch.setattr(Checkers, "look", look)
    told = rehearse(two_sites_and_a_witness(), parse(QUIET), 1)
    by_chance = play(two_sites_and_a_witness(), 1, 0.01, strikes=())
    for each in (told, by_chance):
        assert (each.violations, each.outside) == ((), ("a reason",))
        assert (each.excused, each.excused_by_reason) == (1, {AFTER_LEAVING: 1})
        assert [sentence.partition(" s: ")[2] for sentence in each.set_aside] == ["I2: somebody was lost"]
    totals = Totals()
    for seed in (1, 2):
        totals.add(None, replace(by_chance, seed=seed), 0.1)  # type: ignore[arg-type]
    summary = totals.summary()
    assert (summary["excused"], summary["excused_by_reason"]) == (2, {AFTER_LEAVING: 2})
    assert (summary["runs_outside_the_fault_model"], summary["outside_by_reason"]) == (2, {"a reason": 2})


def test_in_a_story_what_is_set_aside_is_told_after_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def look(_self: Checkers, world: World) -> list[str]:
        if world.now_s < 70.0:  # by then the story has begun
            return []
        world.outside("a reason")
        return ["I2: somebody was lost"]

    monkeypatch.setattr(Checkers, "look", look)
    played = rehearse(two_sites_and_a_witness(), parse(QUIET), 1)
    told = [(line.kind, line.text) for line in played.story if line.kind in (Told.OUTSIDE, Told.EXCUSED)]
    assert told == [(Told.OUTSIDE, "a reason"), (Told.EXCUSED, "I2: somebody was lost")]
    assert played.well
