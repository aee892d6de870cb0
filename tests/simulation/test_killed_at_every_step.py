"""kill -9 of the controller at every recorded step of every operation: restarted, it finishes."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from tests.simulation import virtual
from tests.simulation.world import ENDPOINT, World

from mailward.model.fencing import CLOSED, OPEN
from mailward.model.state import Phase, Request, RequestKind

ALL = ("192.0.2.10", "192.0.2.11", "2001:db8::10", "2001:db8::11")
ONLY_B = ("192.0.2.11", "2001:db8::11")
MOST_COMMITS = 60

Story = Callable[[World], Coroutine[Any, Any, None]]


async def failover(world: World) -> None:
    world.nodes["mail-a"].up["imaps"] = False


async def failover_and_return(world: World) -> None:
    world.nodes["mail-a"].up["imaps"] = False
    await asyncio.sleep(8)
    world.nodes["mail-a"].up["imaps"] = True


async def drain(world: World) -> None:
    world.store.post(Request("r1", RequestKind.DRAIN, "mail-a", "root", "", world.clock.now()))


async def drain_and_readmit(world: World) -> None:
    await drain(world)
    await asyncio.sleep(15)
    world.store.post(Request("r2", RequestKind.READMIT, "mail-a", "root", "", world.clock.now()))


async def death_and_return(world: World) -> None:
    world.nodes["mail-a"].alive = False
    await asyncio.sleep(20)
    world.nodes["mail-a"].alive = True


STORIES: dict[str, tuple[Story, bool]] = {
    "failover": (failover, False),
    "failover and return": (failover_and_return, True),
    "drain": (drain, False),
    "drain and readmit": (drain_and_readmit, True),
    "death and return": (death_and_return, True),
}


async def run_with_a_kill(story: Story, back: bool, commit: int, before_sending: bool) -> bool:
    """Play a story and kill the controller at its `commit`-th commit; False when it has fewer."""
    world = World()
    world.start()
    await world.until(lambda: world.settled() and world.dns.addresses() == ALL, 10)
    killed = asyncio.Event()
    counted = 0

    def after_commit() -> None:
        nonlocal counted
        counted += 1
        if counted == commit:
            killed.set()
            if before_sending:
                world.kill_now()

    world.store.after_commit = after_commit
    telling = asyncio.create_task(story(world))
    reached = await _within(killed, 60)
    if reached:
        await world.kill()
        await asyncio.sleep(0.5)
        world.start()
    await telling
    expected, phase, ports = (ALL, Phase.IN_SERVICE, OPEN) if back else (ONLY_B, Phase.OUT, CLOSED)
    await world.until(lambda: world.settled() and world.dns.addresses() == expected, 300)
    record = world.state.phase_of("mail-a", ENDPOINT)
    assert record is not None
    assert record.phase is phase
    assert world.nodes["mail-a"].ports["imaps"] == ports
    _nothing_was_done_twice(world)
    await world.close()
    return reached


def _nothing_was_done_twice(world: World) -> None:
    for receiver in (world.dns, *world.nodes.values()):
        tokens = [token for _, token, _ in receiver.log]
        assert tokens == sorted(set(tokens)), "tokens rise, and none is obeyed twice"
    answers = [addresses for _, addresses in world.dns.changes]
    moves = [a for i, a in enumerate(answers) if i == 0 or a != answers[i - 1]]
    assert len(moves) <= 3, f"an answer never goes back and forth: {moves}"
    assert all(moves), "never an empty answer"


async def _within(event: asyncio.Event, limit_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), limit_s)
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("before_sending", [True, False], ids=["before sending", "after sending"])
@pytest.mark.parametrize("name", STORIES)
def test_a_controller_killed_at_any_commit_finishes_after_its_restart(
    name: str, before_sending: bool
) -> None:
    story, back = STORIES[name]
    for commit in range(1, MOST_COMMITS):
        if not virtual.run(run_with_a_kill(story, back, commit, before_sending)):
            assert commit > 4, "an operation has more recorded steps than this"
            return
    raise AssertionError(f"{name} never ends: more than {MOST_COMMITS} commits")
