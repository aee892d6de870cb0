"""A cluster whose leader first asks the daemon beside a node to have it closed, in the simulated world."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.simulation.clusters import ENDPOINT, without_a_switch
from tests.simulation.watched import leader, play

from mailward.model.fencing import CLOSED
from mailward.model.orders import OrderPorts
from mailward.model.policy import Policy, Rung, RungKind
from mailward.model.state import Phase
from mailward.simulator import faults, run
from mailward.simulator.nodes import Work
from mailward.simulator.world import World


def asked_first() -> Policy:
    whole = without_a_switch()
    ladder = (Rung(RungKind.ASK, 8.0), Rung(RungKind.HELPER, 8.0))
    return replace(whole, nodes=tuple(replace(node, ladder=ladder) for node in whole.nodes))


async def moved(world: World, limit_s: float = 120) -> list[str]:
    """By which ways mail-a was ordered anything until mail-b serves, in order."""
    ways: list[str] = []
    began_s = world.now_s
    while (
        record := world.state.phase_of("mail-b", ENDPOINT)
    ) is None or record.phase is not Phase.IN_SERVICE:
        assert world.now_s - began_s < limit_s, "mail-b was not promoted"
        for order in world.state.orders:
            if isinstance(order.action, OrderPorts) and order.action.node == "mail-a":
                ways += [order.action.by.value] if ways[-1:] != [order.action.by.value] else []
        await asyncio.sleep(0.02)
    assert set(world.nodes["mail-a"].helper.ports.values()) == {CLOSED}
    return ways


BESIDE: dict[str, tuple[Callable[[World], object], list[str]]] = {
    "runs": (lambda world: None, ["ask"]),
    "is dead": (lambda world: faults.daemon_dies(world, "mail-a"), ["ask", "helper"]),
    "stands still": (lambda world: faults.daemon_stops(world, "mail-a"), ["ask", "helper"]),
}


@pytest.mark.parametrize("beside", BESIDE)
def test_a_node_is_closed_by_the_daemon_beside_it_or_else_over_ssh(beside: str) -> None:
    struck, expected = BESIDE[beside]

    async def story(world: World) -> None:
        await asyncio.sleep(30)
        struck(world)
        await asyncio.sleep(20)
        assert leader(world).name != "mail-a" or beside == "runs"
        faults.services_fail(world, "mail-a", Work.CRASHED)
        assert await moved(world) == expected

    play(story, policy=asked_first())


@pytest.mark.parametrize("seed", range(4))
def test_no_rule_is_broken_where_orders_go_through_the_store(seed: int) -> None:
    outcome = run.play(asked_first(), seed, 0.5)
    assert outcome.violations == ()
