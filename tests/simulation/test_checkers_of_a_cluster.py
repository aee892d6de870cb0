"""The checkers of what only a cluster has object to what they are there for, and to nothing else: plans, what
goes back by itself, what fails over and what is kept shut."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.simulation.clusters import ENDPOINT, one_is_preferred
from tests.simulation.test_checkers import commit, now, operation

from mailward.model.fencing import CLOSED
from mailward.model.policy import Failback, Loss, Policy, Window
from mailward.model.state import Accepted, Answer, Cause, Kind, Phase, PhaseRecord, RequestKind, Step
from mailward.simulator import virtual
from mailward.simulator.checkers import Checker
from mailward.simulator.checkers.operations import Operations
from mailward.simulator.checkers.planned import GoesBack, Planned
from mailward.simulator.checkers.promotions import NotTooMuchLost, Takeovers
from mailward.simulator.checkers.truth import News, Truth
from mailward.simulator.store import Written
from mailward.simulator.world import World

Act = Callable[[World], None]


def begin(world: World, kind: Kind, node: str, to: str, request: str | None = None, **more: Any) -> None:
    """Another operation takes the place of what ran."""
    began = replace(operation(world, kind, f"1-{world.now_s}", node), to=to, request=request, **more)
    commit(world, replace(world.state, operation=began))


def serves(world: World, name: str) -> None:
    records = tuple(
        PhaseRecord(n, ENDPOINT, Phase.IN_SERVICE if n == name else Phase.STANDBY, now(world))
        for n in world.nodes
    )
    commit(world, replace(world.state, phases=records))


def objected(
    policy: Policy, *acts: tuple[float, Act], by: Sequence[Callable[[Truth], Checker]] = (Planned, GoesBack)
) -> list[str]:
    """Each after so many seconds; the checkers look after each, and once a second."""

    async def body() -> list[str]:
        world, truth = World(policy, 1), Truth()
        found: list[str] = []
        checkers = [checker(truth) for checker in by]
        said: list[Written] = []
        world.ensemble.on_commit = said.append

        def look() -> None:
            truth.look(world)
            news = News(tuple(said), {})
            for checker in checkers:
                found.extend(map(str, checker.look(world, news)))
            said.clear()

        for after_s, act in acts:
            for _ in range(int(after_s)):
                await asyncio.sleep(1.0)
                look()
            act(world)
            look()
        return found

    return virtual.run(body())


# planned for later


def ask(in_s: float) -> Act:
    def act(world: World) -> None:
        world.ask(RequestKind.SWITCHOVER, "mail-b", in_s=in_s)

    return act


def begun(world: World) -> None:
    begin(world, Kind.SWITCHOVER, "mail-a", "mail-b", "r1")


def jumped(by_s: float) -> Act:
    def act(world: World) -> None:
        world.controllers["witness"].host.wall_offset_s = by_s

    return act


def withdrawn(world: World) -> None:
    word = world.ask(RequestKind.CANCEL, "mail-b", cancels="r1")
    commit(world, replace(world.state, answers=(Answer(word, True, "withdrawn", now(world)),)))


@pytest.mark.parametrize(
    ("acts", "says"),
    [
        (((1, ask(60)), (60, begun)), []),
        (((1, ask(60)), (10, begun)), ["switchover r1 is begun 50 s before its time"]),
        (((1, ask(60)), (5, jumped(55)), (5, begun)), []),
        (((1, ask(60)), (60, begun), (5, begun)), ["switchover r1 is begun a second time"]),
        (((1, ask(60)), (700, begun)), ["switchover r1 is begun 640 s after its time"]),
        (((1, ask(60)), (5, withdrawn), (60, begun)), ["switchover r1 is begun, and was withdrawn"]),
    ],
)
def test_a_plan_is_kept(acts: tuple[tuple[float, Act], ...], says: list[str]) -> None:
    policy = replace(one_is_preferred(), rules=replace(one_is_preferred().rules, failback=Failback.MANUAL))
    assert objected(policy, *acts) == says


# going back


def failed_over(world: World) -> None:
    begin(world, Kind.FAILOVER, "mail-a", "mail-b")
    serves(world, "mail-b")


def moved_by_hand(world: World) -> None:
    begin(world, Kind.SWITCHOVER, "mail-a", "mail-b", "r9")
    serves(world, "mail-b")


def back(world: World) -> None:
    begin(world, Kind.SWITCHOVER, "mail-b", "mail-a", cause=Cause.NONE)


def away(world: World) -> None:
    begin(world, Kind.SWITCHOVER, "mail-a", "mail-b", cause=Cause.NONE)


AFTER_A_FAILOVER = ((1.0, failed_over), (100.0, back))


@pytest.mark.parametrize(
    ("rules", "acts", "says"),
    [
        ({}, AFTER_A_FAILOVER, []),
        ({"failback": Failback.MANUAL}, AFTER_A_FAILOVER,
         ["mail-a is gone back to, and that is left to a person"]),
        ({"failback_after_s": 200.0}, AFTER_A_FAILOVER, ["mail-a is gone back to 100 s after a failure"]),
        ({}, ((1.0, moved_by_hand), (100.0, back)),
         ["mail-b is left, and no failover of its own made it serve"]),
        ({}, (*AFTER_A_FAILOVER, (5.0, failed_over), (100.0, back)),
         ["mail-a is gone back to 105 s after the last time"]),
        ({"failback": Failback.WINDOW, "failback_window": Window("never", 1.0, 2.0)}, AFTER_A_FAILOVER,
         ["mail-a is gone back to outside the window"]),
        ({}, ((1.0, failed_over), (100.0, away)),
         ["mail-b is gone back to, and another is preferred", "mail-a is left, and is preferred as well",
          "mail-a is left, and no failover of its own made it serve"]),
    ],
)  # fmt: skip
def test_it_goes_back_only_as_the_policy_has_it(
    rules: dict[str, Any], acts: tuple[tuple[float, Act], ...], says: list[str]
) -> None:
    policy = one_is_preferred()
    assert objected(replace(policy, rules=replace(policy.rules, **rules)), *acts) == says


def test_a_node_that_broke_meanwhile_is_not_gone_back_to() -> None:
    def breaks(world: World) -> None:
        world.nodes["mail-a"].crash()

    def boots(world: World) -> None:
        world.nodes["mail-a"].boot()

    found = objected(one_is_preferred(), (1.0, failed_over), (100.0, breaks), (40.0, boots), (30.0, back))
    assert [each for each in found if "s after a failure" in each]


# failing over


def planned(kind: Kind) -> Act:
    """Asked for by a person, who pauses automation then."""

    def act(world: World) -> None:
        begin(world, kind, "mail-a", "mail-b", "r1")
        world.pause(600)

    return act


def failing_over(node: str) -> Act:
    return lambda world: begin(world, Kind.FAILOVER, node, "")


@pytest.mark.parametrize("kind", [Kind.SWITCHOVER, Kind.DRAIN])
@pytest.mark.parametrize(("failed", "objects"), [("mail-a", False), ("mail-b", True)])
def test_in_a_pause_a_plan_becomes_a_failover_of_its_own_node(kind: Kind, failed: str, objects: bool) -> None:
    found = objected(one_is_preferred(), (1.0, planned(kind)), (5.0, failing_over(failed)), by=(Operations,))
    assert any("I9" in each for each in found) is objects


@pytest.mark.parametrize(
    ("began", "node", "step", "objects"),
    [
        (Kind.DRAIN, "mail-a", Step.PUBLISH, False),
        (Kind.DRAIN, "mail-a", Step.CHECK, True),
        (Kind.DRAIN, "mail-b", Step.PUBLISH, True),
        (Kind.SWITCHOVER, "mail-a", Step.PUBLISH, True),
    ],
)
def test_in_a_pause_a_drain_that_is_rolled_back_publishes_its_own_node_again(
    began: Kind, node: str, step: Step, objects: bool
) -> None:
    def goes_back(world: World) -> None:
        begin(world, Kind.READMIT, node, "", step=step)

    found = objected(one_is_preferred(), (1.0, planned(began)), (5.0, goes_back), by=(Operations,))
    assert any("I9" in each for each in found) is objects


def past_its_fence(world: World) -> None:
    begin(world, Kind.FAILOVER, "mail-b", "", step=Step.CHECK)
    commit(world, replace(world.state, operation=None))


def nobody_serves(world: World) -> None:
    records = tuple(PhaseRecord(name, ENDPOINT, Phase.STANDBY, now(world)) for name in world.nodes)
    commit(world, replace(world.state, phases=records))


@pytest.mark.parametrize(("before", "objects"), [
    (lambda world: serves(world, "mail-a"), True),
    (nobody_serves, False),
], ids=["of who serves", "of who was stopped already"])  # fmt: skip
def test_within_an_hour_only_so_many_are_stopped(before: Act, objects: bool) -> None:
    policy = one_is_preferred()
    earlier: list[tuple[float, Act]] = [(1.0, past_its_fence)] * policy.rules.failovers_per_hour
    found = objected(policy, *earlier, (1.0, before), (1.0, failing_over("mail-a")), by=(Takeovers,))
    assert any("one more after" in each for each in found) is objects


@pytest.mark.parametrize(
    ("accepted_s", "shut_s", "objects"),
    [(1.0, 0.0, True), (1.0, 200.0, True), (100.0, 0.0, False), (100.0, 200.0, False), (100.0, -200.0, True)],
    ids=["more than accepted", "more, shut since", "as accepted", "as accepted, shut since", "open since"],
)
def test_what_is_missing_counts_until_nothing_more_was_accepted(
    accepted_s: float, shut_s: float, objects: bool
) -> None:
    """Found by simulation: it was closed for a while when a person accepted what was missing at that time."""

    def missing(world: World) -> None:
        world.nodes["mail-a"].mailbox["1"] = world.now_s

    def shut(world: World) -> None:
        helper = world.nodes["mail-a"].helper
        helper.ports = dict.fromkeys(helper.ports, CLOSED)
        begin(world, Kind.FAILOVER, "mail-a", "mail-b")

    def accepts(world: World) -> None:
        accepted = Accepted("mail-b", accepted_s, now(world))
        begin(world, Kind.FAILOVER, "mail-a", "mail-b", "r1", step=Step.PROMOTE, accepts=accepted)

    def promotes(world: World) -> None:
        records = [replace(r, phase=Phase.PROMOTING) if r.node == "mail-b" else r for r in world.state.phases]
        commit(world, replace(world.state, phases=tuple(records)))

    acts: list[tuple[float, Act]] = [(1.0, lambda world: serves(world, "mail-a")), (1.0, missing)]
    acts += [(50.0 + max(0.0, -shut_s), shut), (1.0 + max(0.0, shut_s), accepts), (1.0, promotes)]
    found = objected(lossless(), *acts, by=(NotTooMuchLost,))
    assert any("mail-b promoted without 1 messages of mail-a" in each for each in found) is objects


def test_one_message_that_was_still_in_the_queue_is_something() -> None:
    """It reached the mailbox of the old one when that was shut, and nothing is to be lost."""

    def delivered_and_promoted(world: World) -> None:
        begin(world, Kind.FAILOVER, "mail-a", "mail-b", step=Step.PROMOTE)
        world.nodes["mail-a"].mailbox["1"] = world.now_s
        records = [replace(r, phase=Phase.PROMOTING) if r.node == "mail-b" else r for r in world.state.phases]
        commit(world, replace(world.state, phases=tuple(records)))

    acts: tuple[tuple[float, Act], ...] = (
        (1.0, lambda world: serves(world, "mail-a")), (1.0, delivered_and_promoted),
    )  # fmt: skip
    found = objected(lossless(), *acts, by=(NotTooMuchLost,))
    assert any("promoted without 1 messages" in each for each in found)


def lossless() -> Policy:
    policy = one_is_preferred()
    return replace(policy, rules=replace(policy.rules, loss=Loss.LOSSLESS))
