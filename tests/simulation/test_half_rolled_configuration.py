"""A new configuration reaches the daemons one by one: whoever leads has the one that most have."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import permutations

import pytest
from tests.simulation.clusters import ENDPOINT, leased, pair_without_a_witness
from tests.simulation.watched import leader, others, play

from mailward.model.policy import Policy
from mailward.simulator import faults
from mailward.simulator.nodes import Work
from mailward.simulator.world import World

Change = Callable[[Policy], Policy]
ROLL_S = 20.0
LEADS_S = 60.0
"""Until a daemon leads that was started with leases."""


def without_leases() -> Policy:
    whole = leased()
    rules = replace(whole.rules, lease_s=None)
    return replace(whole, digest=f"{whole.digest}, without leases", rules=rules)


def longer_hold_down(policy: Policy) -> Policy:
    rules = replace(policy.rules, hold_down_s=2 * policy.rules.hold_down_s)
    return replace(policy, digest=f"{policy.digest}, changed", rules=rules)


async def roll(world: World, *names: str, change: Change = longer_hold_down, each_s: float = ROLL_S) -> None:
    """Daemon by daemon, as by hand: the file is replaced, and the daemon restarted."""
    for name in names:
        controller = world.controllers[name]
        controller.policy = change(world.policy)
        controller.kill()
        controller.start()
        await asyncio.sleep(each_s)


async def out_after_s(world: World, node: str, limit_s: float = 60.0) -> float | None:
    """A service of it crashes: until it is out of the zone, None where it stays."""
    faults.service_fails(world, node, "imaps", Work.CRASHED)
    began_s = world.now_s
    while node in world.published("primary", ENDPOINT):
        if world.now_s - began_s > limit_s:
            return None
        await asyncio.sleep(0.1)
    return world.now_s - began_s


def test_a_leader_with_the_old_configuration_leaves_the_lead_to_the_two_who_have_the_new_one() -> None:
    async def story(world: World) -> None:
        old = leader(world).name
        await roll(world, *others(world))
        assert leader(world).name != old
        epoch = leader(world).epoch
        after_s = await out_after_s(world, "mail-a")
        assert after_s is not None
        assert after_s < 10
        await asyncio.sleep(60)
        assert leader(world).epoch == epoch, "the lead goes to and fro"

    play(story)


def test_one_with_the_new_configuration_takes_the_lead_from_nobody_and_acts_on_nothing() -> None:
    async def story(world: World) -> None:
        old, epoch = leader(world).name, leader(world).epoch
        await roll(world, others(world)[0])
        assert (leader(world).name, leader(world).epoch) == (old, epoch)
        assert await out_after_s(world, "mail-a") is not None
        assert (leader(world).name, leader(world).epoch) == (old, epoch)

    play(story)


@pytest.mark.parametrize("seed", range(3))
def test_a_configuration_rolled_out_to_all_changes_nothing_for_clients(seed: int) -> None:
    async def story(world: World) -> None:
        await roll(world, *world.controllers)
        assert set(world.published("primary", ENDPOINT)) == {"mail-a", "mail-b"}
        assert await out_after_s(world, "mail-b") is not None

    play(story, seed=seed)


@pytest.mark.parametrize("others", [*permutations(("witness", "mail-b"))], ids="-".join)
def test_leases_are_disarmed_with_the_daemon_beside_who_serves_last_and_no_client_is_refused(
    others: tuple[str, ...],
) -> None:
    async def disarmed(world: World) -> None:
        await roll(world, *others, "mail-a", change=lambda _: without_leases(), each_s=LEADS_S)

    async def story(world: World) -> None:
        await asyncio.sleep(LEADS_S)
        assert world.nodes["mail-a"].helper.lease is not None
        await is_open_all_the_while(world, "mail-a", disarmed(world))
        assert world.nodes["mail-a"].helper.lease is None

    play(story, leased())


async def is_open_all_the_while(world: World, node: str, story: Awaitable[None]) -> None:
    told = asyncio.ensure_future(story)
    while not told.done():
        assert world.nodes[node].opens, f"{node} is closed"
        await asyncio.sleep(0.1)
    await told


@pytest.mark.parametrize("order", [*permutations(("witness", "mail-a", "mail-b"))], ids="-".join)
def test_leases_are_armed_daemon_by_daemon_in_any_order_and_no_client_is_refused(
    order: tuple[str, ...],
) -> None:
    async def armed(world: World) -> None:
        await roll(world, *order, change=lambda _: leased(), each_s=LEADS_S)

    async def story(world: World) -> None:
        await is_open_all_the_while(world, "mail-a", armed(world))
        assert world.nodes["mail-a"].helper.lease is not None

    play(story, without_leases())


def test_while_no_configuration_has_a_majority_nothing_is_done() -> None:
    """Of two daemons each has its own: neither can know which of them is right."""

    async def story(world: World) -> None:
        await roll(world, others(world)[0])
        assert await out_after_s(world, "mail-a") is None

    play(story, pair_without_a_witness())
