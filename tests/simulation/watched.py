"""A world that lives through a story of ours, watched by every checker."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.simulation.clusters import two_sites_and_a_witness

from mailward.model.policy import Policy
from mailward.simulator import virtual
from mailward.simulator.checkers import Checkers
from mailward.simulator.store import Ephemeral
from mailward.simulator.world import World

Story = Callable[[World], Awaitable[None]]


def play(story: Story, policy: Policy | None = None, seed: int = 1) -> World:
    """A world that has been well for a while lives through it, and is watched by every checker."""

    async def main() -> World:
        world = World(policy or two_sites_and_a_witness(), seed)
        checkers, found = Checkers(world.policy), list[str]()
        world.on_change = lambda _what: found.extend(checkers.look(world))
        await world.open()
        looking = asyncio.create_task(_look(world))
        try:
            await asyncio.sleep(60)
            await story(world)
        finally:
            looking.cancel()
            await world.close()
        assert found == []
        return world

    return virtual.run(main())


async def _look(world: World) -> None:
    while True:
        world.on_change("time passes")
        await asyncio.sleep(0.25)


def leader(world: World) -> Ephemeral:
    assert world.ensemble.leader is not None
    return world.ensemble.leader


def others(world: World) -> list[str]:
    return [name for name in world.controllers if name != leader(world).name]
