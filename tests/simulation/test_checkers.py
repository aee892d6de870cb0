"""Every checker objects to what it is there for: the world is broken by hand, without any controller."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from tests.simulation.clusters import ENDPOINT, two_sites_and_a_witness

from mailward.model.clock import Moment
from mailward.model.dns import RRset
from mailward.model.fencing import CLOSED
from mailward.model.health import ServiceReport, Vantage, Verdict
from mailward.model.orders import ClaimTarget, Order, OrderPorts
from mailward.model.policy import Automation, Deployment
from mailward.model.report import NodeReport, Report
from mailward.model.snapshot import Versions
from mailward.model.state import (
    Cause,
    Ended,
    Ending,
    Kind,
    Operation,
    Phase,
    PhaseRecord,
    State,
    Step,
)
from mailward.model.token import NOTHING_SENT, Token
from mailward.simulator import virtual
from mailward.simulator.checkers import Checkers
from mailward.simulator.network import HostClock
from mailward.simulator.nodes import Lease, Obeyed, Work
from mailward.simulator.store import Ephemeral, Written
from mailward.simulator.world import STORE_ID, Recorded, World

Break = Callable[[World], None]
A = f"{ENDPOINT}."
LEADER = Ephemeral("witness", 1, "witness-1", session=1)


def token(seq: int) -> Token:
    return Token(STORE_ID, 1, seq)


def freeze(world: World) -> None:
    for node in world.nodes.values():
        node.host.frozen = True


def hang(world: World, node: str) -> None:
    world.nodes[node].services["imaps"] = Work.HUNG


# the store and the receivers


def tokens_fall(world: World) -> None:
    obeyed(world, "mail-a", 2)
    obeyed(world, "mail-a", 2)


def never_recorded(world: World) -> None:
    world.nodes["mail-a"].helper.log.append(Obeyed(world.now_s, token(2), "x"))


def long_after_its_hello(world: World) -> None:
    obeyed(world, "mail-a", 2, after_s=30.0)


def recorded_by_who_does_not_lead(world: World) -> None:
    commit(world, world.state, session=2)


def overwritten_unread(world: World) -> None:
    commit(world, world.state, seen=Versions(1, 0, 1))


def obeyed_long_after_the_store_was_lost(world: World) -> None:
    world.ensemble.has_quorum = False
    world.on_change("")
    obeyed(world, "mail-a", 2, at_s=world.now_s + 60.0)


def written_though_it_is_anothers(world: World) -> None:
    world.foreign.add("primary")
    obeyed(world, "primary", 2)


def done_by_an_old_copy(world: World) -> None:
    world.outdated["primary"] = world.now_s - 60.0
    obeyed(world, "primary", 2)


# addresses


def emptied(world: World) -> None:
    world.zones["primary"].primary.rrsets.clear()


def last_serving_withdrawn(world: World) -> None:
    publish(world, "192.0.2.11")


def given_up_too_late(world: World) -> None:
    """Of mail-b enough had said for a while that it does not serve."""
    obeyed(world, "primary", 2, "publish")
    hang(world, "mail-b")
    said_down(world, "mail-b")
    world.on_change("")
    claimed(world, 3)
    publish(world, "192.0.2.11")


def not_given_up(world: World) -> None:
    """The claim was there before."""
    claimed(world, 2)
    obeyed(world, "primary", 3, "publish")
    hang(world, "mail-b")
    said_down(world, "mail-b")
    world.on_change("")
    publish(world, "192.0.2.11")


def put_in_with_closed_ports(world: World) -> None:
    publish(world, "192.0.2.10")
    close(world, "mail-b")
    world.on_change("")
    publish(world, "192.0.2.10", "192.0.2.11")


def fails_and_is_left_out(world: World) -> None:
    hang(world, "mail-b")
    publish(world, "192.0.2.10")


def let_in_though_it_fails(world: World) -> None:
    said_down(world, "mail-b")
    start(world, Kind.READMIT, node="mail-b")
    publish(world, "192.0.2.10", "192.0.2.11")


def unlisted(world: World) -> None:
    world.zones["primary"].primary.rrsets["www.example.test.", "A"] = RRset(
        "www.example.test.", "A", 5, ("192.0.2.1",)
    )


# withdrawals


def all_closed(world: World) -> None:
    close(world, "mail-a", "mail-b")


def healthy_node_withdrawn(world: World) -> None:
    start(world, Kind.FAILOVER)


def nobody_else_serves(world: World) -> None:
    world.nodes["mail-a"].services["imaps"] = Work.CRASHED
    start(world, Kind.FAILOVER)


def withdrawn_while_observing(world: World) -> None:
    world.policy = replace(world.policy, automation=Automation.OBSERVE)
    start(world, Kind.FAILOVER)


def withdrawn_in_another_deployment(world: World) -> None:
    world.policy = replace(world.policy, deployment=Deployment.STANDARD)
    start(world, Kind.FAILOVER)


def withdrawn_too_often(world: World) -> None:
    for number in range(7):
        start(world, Kind.FAILOVER, f"1-{number}")
        commit(world, replace(world.state, operation=None))


def withdrawn_though_all_is_silent(world: World) -> None:
    start(world, Kind.FAILOVER)


def closed_while_it_is_named(world: World) -> None:
    world.ensemble.leader = LEADER
    start(world, Kind.FAILOVER)
    close(world, "mail-a")
    obeyed(world, "mail-a", 2, "ports")


def drained_and_closed_at_once(world: World) -> None:
    start(world, Kind.DRAIN)
    move(world, Phase.DRAINING)
    publish(world, "192.0.2.11")
    close(world, "mail-a")
    obeyed(world, "mail-a", 2, "ports")


# readmissions


def back_without_rejoining(world: World) -> None:
    move(world, Phase.OUT)
    move(world, Phase.IN_SERVICE)


def let_in_before_it_caught_up(world: World) -> None:
    world.nodes["mail-b"].mailbox["m1"] = -500.0
    world.accepted += 1
    start(world, Kind.READMIT)
    for phase in (Phase.OUT, Phase.REJOINING, Phase.PROMOTING):
        move(world, phase)


def broken_node_readmitted(world: World) -> None:
    start(world, Kind.READMIT)


def readmitted_at_once(world: World) -> None:
    world.nodes["mail-b"].services["imaps"] = Work.WELL
    world.on_change("")
    start(world, Kind.READMIT, node="mail-b")


def readmitted_with_open_ports(world: World) -> None:
    start(world, Kind.READMIT)


def readmitted_without_a_helper(world: World) -> None:
    start(world, Kind.READMIT)


def readmitted_too_soon_again(world: World) -> None:
    close(world, "mail-a")
    for number in range(3):
        out = operation(world, Kind.FAILOVER, f"1-{number}")
        ended = (*world.state.ended, Ended(out, Ending.DONE, now(world)))
        commit(world, replace(world.state, ended=ended))
    start(world, Kind.READMIT, "1-9")


# operations


def begun_in_a_pause(world: World) -> None:
    world.pause(600)
    start(world, Kind.READMIT)


def gone_without_a_word(world: World) -> None:
    start(world, Kind.DRAIN)
    commit(world, replace(world.state, operation=None))


def begun_without_a_reason(world: World) -> None:
    commit(world, replace(world.state, operation=replace(operation(world, Kind.DRAIN), reason="")))


def silent_controller(world: World) -> None:
    nothing = SimpleNamespace(node="mail-a", endpoint=ENDPOINT, evidence="", findings=())
    decision = SimpleNamespace(explanations=[nothing], broken=())
    loop = SimpleNamespace(decision=decision, counters=SimpleNamespace(errors=0), problem="")
    world.controllers["witness"].loop = loop  # type: ignore[assignment]


def failing_step(world: World) -> None:
    loop = SimpleNamespace(decision=None, counters=SimpleNamespace(errors=1), problem="KeyError")
    world.controllers["witness"].loop = loop  # type: ignore[assignment]


# mail


def lost_mail(world: World) -> None:
    world.accepted += 1


def wild(world: World) -> None:
    for seq in range(1, 1300):
        obeyed(world, "mail-a", seq)


BREAKS: dict[Break, str] = {
    tokens_fall: "mail-a obeyed 0123456789ab.1.2 after 0123456789ab.1.2",
    never_recorded: "mail-a obeyed 0123456789ab.1.2, which nobody had recorded",
    long_after_its_hello: "mail-a obeyed 0123456789ab.1.2 30 s after its hello",
    recorded_by_who_does_not_lead: f"session 2 recorded a state while {LEADER} led",
    overwritten_unread: "session 1 overwrote",
    obeyed_long_after_the_store_was_lost: "mail-a obeyed 0123456789ab.1.2 60 s after the store was lost",
    written_though_it_is_anothers: "primary obeyed 0123456789ab.1.2, and belongs to another store",
    done_by_an_old_copy: "primary obeyed 0123456789ab.1.2, of a store restored from a backup",
    emptied: f"{ENDPOINT} has no address on primary",
    last_serving_withdrawn: f"{ENDPOINT} lost mail-a, which served; left is mail-b, which do not",
    given_up_too_late: f"{ENDPOINT} lost mail-a, which served; left is mail-b, which do not",
    not_given_up: f"{ENDPOINT} lost mail-a, which served; left is mail-b, which do not",
    put_in_with_closed_ports: "mail-b was put into primary with submission, imaps closed",
    let_in_though_it_fails: f"mail-b was put into primary, though it does not serve {ENDPOINT}",
    unlisted: "primary holds ('www.example.test.', 'A')",
    all_closed: f"every node of {ENDPOINT} is closed for submission",
    healthy_node_withdrawn: "I6: mail-a withdrawn from mail.example.test, which only [] can have seen broken",
    nobody_else_serves: "I8: mail-a withdrawn from mail.example.test, and nobody else serves it",
    withdrawn_while_observing: "I8: mail-a withdrawn, and automation only observes",
    withdrawn_in_another_deployment: "I8: mail-a withdrawn in a deployment standard",
    withdrawn_too_often: "I8: 7 failovers within an hour",
    withdrawn_though_all_is_silent: "I7: mail-a withdrawn while nothing answered any observer",
    closed_while_it_is_named: "mail-a was closed while primary names it for mail.example.test",
    drained_and_closed_at_once: "mail-a was drained and closed 0 s after primary named it last",
    back_without_rejoining: "mail-a went from out to in-service",
    let_in_before_it_caught_up: "mail-a let in with 1 messages of mail-b missing for 530 s",
    broken_node_readmitted: "mail-a readmitted to mail.example.test, and is known to be broken",
    readmitted_at_once: "mail-b readmitted to mail.example.test, well for 0 s only",
    readmitted_with_open_ports: "mail-a readmitted to mail.example.test with submission, imaps open",
    readmitted_without_a_helper: "mail-a readmitted, and its helper does not answer",
    readmitted_too_soon_again: "3 times for service-failed: 60 s needed",
    begun_in_a_pause: "I9: readmit 1-1 began during a pause",
    gone_without_a_word: "I10: drain 1-1 vanished without an ending",
    begun_without_a_reason: "I16: drain 1-1 has no reason",
    silent_controller: f"witness does not say why of mail-a for {ENDPOINT}",
    failing_step: "witness: KeyError",
    lost_mail: "1 accepted, [0] on every node, 0 on some",
    wild: "mail-a obeyed 1200 orders within an hour",
}  # fmt: skip

BEFORE: dict[Break, Break] = {
    last_serving_withdrawn: lambda world: hang(world, "mail-b"),
    let_in_though_it_fails: fails_and_is_left_out,
    nobody_else_serves: lambda world: hang(world, "mail-b"),
    broken_node_readmitted: lambda world: hang(world, "mail-a"),
    readmitted_at_once: lambda world: hang(world, "mail-b"),
    readmitted_without_a_helper: lambda world: setattr(world.nodes["mail-a"].helper, "works", False),
    withdrawn_though_all_is_silent: freeze,
    closed_while_it_is_named: lambda world: setattr(world.ensemble, "leader", LEADER),
}


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda one: one.__name__)
def test_each_rule_broken_by_hand_is_objected_to(break_it: Break) -> None:
    async def body() -> list[str]:
        world = World(two_sites_and_a_witness(), 1)
        every = Checkers(world.policy)
        found: list[str] = []
        world.on_change = lambda _what: found.extend(every.look(world))
        move(world, Phase.IN_SERVICE)
        if break_it in BEFORE:
            BEFORE[break_it](world)
        for _ in range(30):
            world.on_change("")
            await asyncio.sleep(1.0)
        assert found == []
        break_it(world)
        await asyncio.sleep(61.0 if break_it is silent_controller else 0.0)
        world.on_change("")
        return found

    found = virtual.run(body())
    assert [sentence for sentence in found if BREAKS[break_it] in sentence], found


@pytest.mark.parametrize(
    ("ago_s", "changed", "objected"),
    [
        (6.0, {}, True),
        (8.0, {}, False),
        (0.0, {"tilted": True}, False),
        (0.0, {"config_digest": "another"}, False),
    ],
    ids=["fresh", "stale", "tilted", "of another configuration"],
)
def test_who_comes_to_nobody_is_known_to_fail_by_reports_that_count(
    ago_s: float, changed: dict[str, Any], objected: bool
) -> None:
    """Found by simulation: a drain was rolled back when the only other node in service had crashed. That
    the drained one was down as well was said by the leader, and by a daemon that was long dead."""
    found = let_in_beside("mail-a", Work.CRASHED, ago_s, changed)
    assert (PUT_IN in found) is objected


@pytest.mark.parametrize("quorum", [True, False])
def test_who_is_named_may_be_closed_where_nobody_could_have_it_recorded_to_leave(quorum: bool) -> None:
    """Found by simulation: the quorum was back, and so was a zone that had been frozen when it was lost."""

    async def body() -> list[str]:
        world = World(two_sites_and_a_witness(), 1)
        every = Checkers(world.policy)
        world.on_change = lambda _what: None
        move(world, Phase.IN_SERVICE)
        world.ensemble.leader, world.ensemble.has_quorum = LEADER, quorum
        for _ in range(30):
            every.look(world)
            await asyncio.sleep(1.0)
        world.ensemble.has_quorum = True
        closed_while_it_is_named(world)
        return every.look(world)

    found = virtual.run(body())
    assert any("mail-a was closed while primary names it" in each for each in found) is quorum


@pytest.mark.parametrize(("ago_s", "objects"), [(5.0, False), (30.0, True)])
def test_who_is_put_in_may_have_closed_a_moment_ago_by_itself(ago_s: float, objects: bool) -> None:
    """Found by simulation: its lease ran out 0.1 s before it was named."""

    async def body() -> list[str]:
        world = World(two_sites_and_a_witness(), 1)
        every = Checkers(world.policy)
        move(world, Phase.IN_SERVICE)
        publish(world, "192.0.2.10")
        await asyncio.sleep(30.0)
        every.look(world)
        ended_s = world.now_s - ago_s
        world.nodes["mail-b"].helper.lease = Lease(15.0, ended_s, ended_s)
        publish(world, "192.0.2.10", "192.0.2.11")
        return every.look(world)

    found = virtual.run(body())
    assert (
        any("mail-b was put into primary with submission, imaps closed" in each for each in found) is objects
    )


def test_beside_who_may_serve_nobody_is_let_in_who_cannot_be_known_to_serve() -> None:
    assert PUT_IN in let_in_beside("mail-a", Work.WELL, 8.0, {})


PUT_IN = f"I2: mail-b was put into primary, though it does not serve {ENDPOINT}"


def let_in_beside(named: str, work: Work, ago_s: float, changed: dict[str, Any]) -> list[str]:
    """What is objected to when mail-b, which fails, is let in to a zone that names one who does as `work` has
    it. Of mail-b the witness says so all the time, and mail-a did `ago_s` ago, with something else about its
    report."""

    async def body() -> list[str]:
        world = World(two_sites_and_a_witness(), 1)
        every = Checkers(world.policy)
        move(world, Phase.IN_SERVICE)
        fails_and_is_left_out(world)
        world.nodes[named].services["imaps"] = work
        for second in range(30, -1, -1):
            said_down(world, "mail-b", "witness")
            if second == ago_s:
                said_down(world, "mail-b", "mail-a", **changed)
            every.look(world)
            await asyncio.sleep(1.0)
        start(world, Kind.READMIT, node="mail-b")
        publish(world, "192.0.2.10", "192.0.2.11")
        return every.look(world)

    return virtual.run(body())


def close(world: World, *nodes: str) -> None:
    for node in nodes:
        helper = world.nodes[node].helper
        helper.ports = dict.fromkeys(helper.ports, CLOSED)


def publish(world: World, *addresses: str) -> None:
    world.zones["primary"].primary.rrsets[A, "A"] = RRset(A, "A", 5, addresses)


def said_down(world: World, node: str, *observers: str, **changed: Any) -> None:
    """Every observer says it, or these, with something else about their reports."""
    down = NodeReport(node, (ServiceReport("imaps", Verdict.DOWN, Vantage.DIRECT, 1.0, 0.0),), None, 0.0)
    for name in observers or [observer.name for observer in world.policy.observers]:
        report = Report(name, 1, world.policy.digest, (down,))
        world.ensemble.reports[name] = (1, replace(report, **changed))


def claimed(world: World, seq: int) -> None:
    """Recorded now; it may yet arrive."""
    order = Order(token(seq), ClaimTarget("primary", NOTHING_SENT), now(world), 8.0)
    commit(world, replace(world.state, orders=(order,)))


def now(world: World) -> Moment:
    return HostClock(world.network.hosts["clients"], asyncio.get_running_loop()).now()


def obeyed(
    world: World, name: str, seq: int, what: str = "ports", *, after_s: float = 0.0, at_s: float | None = None
) -> None:
    """Recorded now with what runs, and obeyed."""
    order = Order(token(seq), OrderPorts("mail-a", {}), now(world), 8.0)
    world.recorded.setdefault(token(seq), Recorded(world.now_s, order, world.state.operation))
    world.obeying[name].log.append(Obeyed(world.now_s if at_s is None else at_s, token(seq), what, after_s))
    world.on_change("")


def commit(world: World, state: State, session: int = 1, seen: Versions = Versions(1, 1, 1)) -> None:
    before, world.ensemble.state = world.ensemble.state, replace(state, epoch=1)
    written = Written(before, world.ensemble.state, session, LEADER, seen, Versions(1, 1, 1))
    world.ensemble.on_commit(written)


def move(world: World, phase: Phase) -> None:
    a = PhaseRecord("mail-a", ENDPOINT, phase, now(world))
    b = PhaseRecord("mail-b", ENDPOINT, Phase.IN_SERVICE, now(world))
    commit(world, replace(world.state, phases=(a, b)))


def operation(world: World, kind: Kind, id: str = "1-1", node: str = "mail-a") -> Operation:
    began = now(world)
    return Operation(id, kind, node, (ENDPOINT,), Step.PUBLISH, began, began, Cause.SERVICE, "because", 110)


def start(world: World, kind: Kind, id: str = "1-1", node: str = "mail-a") -> None:
    commit(world, replace(world.state, operation=operation(world, kind, id, node)))
