"""A cluster whose leader first asks the daemon beside a node to have it closed, in the simulated world."""

import asyncio
from collections.abc import Callable

import pytest
from tests.simulation.clusters import CLUSTERS, ENDPOINT, asked, without_a_switch
from tests.simulation.watched import leader, play

from mailward.model.fencing import CLOSED
from mailward.model.orders import OrderPorts
from mailward.model.state import Phase
from mailward.simulator import faults, run
from mailward.simulator.nodes import Work
from mailward.simulator.world import World

STORE = "ensemble"


async def led_from_elsewhere(world: World) -> None:
    """Who leads is not beside mail-a, which serves."""
    while world.ensemble.leader is None or leader(world).name == "mail-a":
        back = faults.daemon_dies(world, "mail-a")
        await asyncio.sleep(20)
        back()
        await asyncio.sleep(20)


async def moved(world: World, limit_s: float = 120) -> list[str]:
    """By which ways mail-a was ordered to close until mail-b serves, in order."""
    ways: list[str] = []
    began_s = world.now_s
    while (
        record := world.state.phase_of("mail-b", ENDPOINT)
    ) is None or record.phase is not Phase.IN_SERVICE:
        assert world.now_s - began_s < limit_s, "mail-b was not promoted"
        for order in world.state.orders:
            action = order.action
            if isinstance(action, OrderPorts) and action.node == "mail-a" and action.terms.hook is None:
                ways += [action.by.value] if ways[-1:] != [action.by.value] else []
        await asyncio.sleep(0.02)
    assert set(world.nodes["mail-a"].helper.ports.values()) == {CLOSED}
    return ways


BESIDE: dict[str, tuple[Callable[[World], object], list[str]]] = {
    "runs": (lambda world: None, ["ask"]),
    "is dead": (lambda world: faults.daemon_dies(world, "mail-a"), ["ask", "helper"]),
    "stands still": (lambda world: faults.daemon_stops(world, "mail-a"), ["ask", "helper"]),
    "is cut off from the store": (lambda world: faults.cut(world, "mail-a", [STORE]), ["ask", "helper"]),
}


@pytest.mark.parametrize("beside", BESIDE)
def test_a_node_is_closed_by_the_daemon_beside_it_or_else_over_ssh(beside: str) -> None:
    struck, expected = BESIDE[beside]

    async def story(world: World) -> None:
        await led_from_elsewhere(world)
        struck(world)
        await asyncio.sleep(20)
        faults.services_fail(world, "mail-a", Work.CRASHED)
        assert await moved(world) == expected

    play(story, policy=asked(without_a_switch)())


def test_a_daemon_that_stood_still_for_a_moment_passes_an_order_on() -> None:

    async def story(world: World) -> None:
        await led_from_elsewhere(world)
        faults.services_fail(world, "mail-a", Work.CRASHED)
        # There is nothing to wait for but the moment at which it is ordered.
        while not any(isinstance(order.action, OrderPorts) for order in world.state.orders):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        goes_on = faults.daemon_stops(world, "mail-a")
        await asyncio.sleep(1.0)
        goes_on()
        assert await moved(world) == ["ask"]

    play(story, policy=asked(without_a_switch)())


@pytest.mark.parametrize(
    ("cluster", "seed"), [("asked", 0), ("asked", 1), ("asked-leased", 1), ("asked-leased", 2)]
)
def test_no_rule_is_broken_where_orders_go_through_the_store(cluster: str, seed: int) -> None:
    outcome = run.play(CLUSTERS[cluster](), seed, 0.5)
    assert outcome.violations == ()
