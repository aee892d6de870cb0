"""Every checker objects to what it is there for: the world is broken by hand, without any controller."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.simulation.clusters import ENDPOINT, two_sites_and_a_witness

from mailward.model.dns import RRset
from mailward.model.fencing import CLOSED
from mailward.model.state import Cause, Kind, Operation, Phase, PhaseRecord, State, Step
from mailward.model.token import Token
from mailward.simulator import virtual
from mailward.simulator.checkers import checkers
from mailward.simulator.names import NameServer
from mailward.simulator.network import HostClock
from mailward.simulator.nodes import Obeyed, Work
from mailward.simulator.world import STORE_ID, World

Break = Callable[[World], None]
A = f"{ENDPOINT}."


def tokens_fall(world: World) -> None:
    world.nodes["mail-a"].helper.log += [
        Obeyed(1.0, Token(STORE_ID, 1, 2), "x"),
        Obeyed(2.0, Token(STORE_ID, 1, 2), "x"),
    ]


def emptied(world: World) -> None:
    world.zones["primary"].primary.rrsets.clear()


def last_serving_withdrawn(world: World) -> None:
    publish(world, "192.0.2.11")


def unlisted(world: World) -> None:
    world.zones["primary"].primary.rrsets["www.example.test.", "A"] = RRset(
        "www.example.test.", "A", 5, ("192.0.2.1",)
    )


def all_closed(world: World) -> None:
    for node in world.nodes.values():
        node.helper.ports = dict.fromkeys(node.helper.ports, CLOSED)


def healthy_node_withdrawn(world: World) -> None:
    start(world, Kind.FAILOVER)


def nobody_else_serves(world: World) -> None:
    world.nodes["mail-a"].services["imaps"] = Work.CRASHED
    start(world, Kind.FAILOVER)


def back_without_rejoining(world: World) -> None:
    move(world, Phase.OUT)
    move(world, Phase.IN_SERVICE)


def begun_in_a_pause(world: World) -> None:
    world.pause(600)
    start(world, Kind.READMIT)


def lost_mail(world: World) -> None:
    world.accepted += 1


def let_in_before_it_caught_up(world: World) -> None:
    world.nodes["mail-b"].mailbox["m1"] = -500.0
    world.accepted += 1
    start(world, Kind.READMIT)
    for phase in (Phase.OUT, Phase.REJOINING, Phase.PROMOTING):
        move(world, phase)


BREAKS: dict[Break, str] = {
    tokens_fall: "mail-a obeyed 0123456789ab.1.2 after 0123456789ab.1.2",
    emptied: f"{ENDPOINT} has no address on primary",
    last_serving_withdrawn: f"{ENDPOINT} lost mail-a, which served; left is mail-b, which do not",
    unlisted: "primary holds ('www.example.test.', 'A')",
    all_closed: f"every node of {ENDPOINT} is closed for submission",
    healthy_node_withdrawn: "I6: mail-a withdrawn from mail.example.test, which only [] can have seen broken",
    nobody_else_serves: "I8: mail-a withdrawn from mail.example.test, and nobody else serves it",
    back_without_rejoining: "I12: mail-a went from out to in-service",
    begun_in_a_pause: "I9: readmit 1-1 began during a pause",
    lost_mail: "1 accepted, [0] on every node, 0 on some",
    let_in_before_it_caught_up: "I12: mail-a let in with 1 messages of mail-b missing for 520 s",
}  # fmt: skip


@pytest.mark.parametrize("break_it", BREAKS, ids=lambda one: one.__name__)
def test_each_rule_broken_by_hand_is_objected_to(break_it: Break) -> None:
    async def body() -> list[str]:
        world = World(two_sites_and_a_witness(), 1)
        every = checkers()
        found: list[str] = []

        def look(_what: str = "") -> None:
            for checker in every:
                found.extend(checker.look(world))

        world.on_change = look
        move(world, Phase.IN_SERVICE)
        if break_it in (last_serving_withdrawn, nobody_else_serves):
            world.nodes["mail-b"].services["imaps"] = Work.HUNG
        for _ in range(20):
            look()
            await asyncio.sleep(1.0)
        assert found == []
        break_it(world)
        look()
        return found

    assert BREAKS[break_it] in virtual.run(body())


def publish(world: World, *addresses: str) -> None:
    server: NameServer = world.zones["primary"].primary
    server.rrsets[A, "A"] = RRset(A, "A", 5, addresses)


def commit(world: World, state: State) -> None:
    before, world.ensemble.state = world.ensemble.state, state
    world.ensemble.on_commit(before, state, world.ensemble.leader)  # type: ignore[arg-type]


def move(world: World, phase: Phase) -> None:
    now = HostClock(world.network.hosts["clients"], asyncio.get_running_loop()).now()
    a = PhaseRecord("mail-a", ENDPOINT, phase, now)
    b = PhaseRecord("mail-b", ENDPOINT, Phase.IN_SERVICE, now)
    commit(world, replace(world.state, phases=(a, b)))


def start(world: World, kind: Kind) -> None:
    now = HostClock(world.network.hosts["clients"], asyncio.get_running_loop()).now()
    operation = Operation(
        "1-1", kind, "mail-a", (ENDPOINT,), Step.PUBLISH, now, now, Cause.SERVICE, "because", 110
    )
    commit(world, replace(world.state, operation=operation))
