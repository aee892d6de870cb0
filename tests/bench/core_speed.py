"""How long one decision takes."""

import time
from collections.abc import Sequence

from tests.bench.figures import Figure, figure
from tests.simulation import virtual
from tests.simulation.world import STORE, World, policy_of

from mailward.controller.core.decide import decide
from mailward.model.snapshot import Snapshot, Standing, Versions
from mailward.model.state import State

SIZES = (2, 10, 100)
ROUNDS = 30


def decide_speed() -> Sequence[Figure]:
    return [figure(f"decide-{size}-nodes", "ms", _times(size)) for size in SIZES]


def _times(size: int) -> list[float]:
    snapshot = virtual.run(_snapshot(size))
    times = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        decide(snapshot)
        times.append(1000 * (time.perf_counter() - began))
    return times


async def _snapshot(size: int) -> Snapshot:
    world = World(policy_of([f"mail-{i}" for i in range(size)]))
    try:
        return Snapshot(
            now=world.clock.now(),
            policy=world.policy,
            state=State(STORE, 1),
            versions=Versions(1, 1, 1),
            standing=Standing.LEADING,
            may_act_until_s=float("inf"),
            observers=(world.view(),),
        )
    finally:
        await world.close()
