"""What each kind of fault would cost: how long until DNS no longer names the node, how much mail was only
there, how long until it is back after its repair. One fault at a time, in a world that is otherwise well.
"""

import asyncio
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass

from mailward.model.policy import Deployment, Policy
from mailward.model.state import Phase
from mailward.simulator import virtual
from mailward.simulator.nodes import MailNode, Work
from mailward.simulator.world import World

SETTLE_S = 120.0
LIMIT_S = 900.0
RUNS = 5

Change = Callable[[World, MailNode], None]


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    strike: Change
    repair: Change


@dataclass(frozen=True)
class Expectation:
    """Of one kind of fault, in seconds, median and worst of `runs`; None where it never happened within
    `LIMIT_S`. `withdrawn` is from the fault to the changed answer at the primary: a client may hold the old
    one for `ttl_s` more. `at_risk` is how many messages were on the failed node only, at most."""

    fault: str
    runs: int
    withdrawn_s: float | None
    withdrawn_worst_s: float | None
    ttl_s: float
    back_s: float | None
    back_worst_s: float | None
    at_risk: int


def _service(work: Work) -> Change:
    def change(_world: World, node: MailNode) -> None:
        node.services = dict.fromkeys(node.services, work)

    return change


def _cut(world: World, node: MailNode) -> None:
    for other in sorted(world.network.hosts):
        if other != node.name:
            world.network.cut(node.name, other)


FAULTS = (
    Fault("services crash", _service(Work.CRASHED), _service(Work.WELL)),
    Fault("services hang", _service(Work.HUNG), _service(Work.WELL)),
    Fault("node lost", lambda _world, node: node.crash(), lambda _world, node: node.boot()),
    Fault(
        "node frozen",
        lambda _world, node: setattr(node.host, "frozen", True),
        lambda _world, node: setattr(node.host, "frozen", False),
    ),
    Fault("node cut off", _cut, lambda world, _node: world.network.mend()),
    Fault(
        "disk full",
        lambda _world, node: setattr(node, "disk_full", True),
        lambda _world, node: setattr(node, "disk_full", False),
    ),
)


def expectations(policy: Policy, seed: int) -> tuple[Expectation, ...]:
    return tuple(_of(policy, fault, seed) for fault in FAULTS)


def _of(policy: Policy, fault: Fault, seed: int) -> Expectation:
    seen = [virtual.run(_once(policy, fault, seed + number, number)) for number in range(RUNS)]
    withdrawn = [out for out, _, _ in seen if out is not None]
    back = [returned for _, returned, _ in seen if returned is not None]
    return Expectation(
        fault=fault.name,
        runs=RUNS,
        withdrawn_s=statistics.median(withdrawn) if len(withdrawn) == RUNS else None,
        withdrawn_worst_s=max(withdrawn) if len(withdrawn) == RUNS else None,
        ttl_s=max((endpoint.ttl_s for endpoint in policy.endpoints), default=0),
        back_s=statistics.median(back) if len(back) == RUNS else None,
        back_worst_s=max(back) if len(back) == RUNS else None,
        at_risk=max(risk for _, _, risk in seen),
    )


async def _once(policy: Policy, fault: Fault, seed: int, turn: int) -> tuple[float | None, float | None, int]:
    world = World(policy, seed)
    await world.open()
    await asyncio.sleep(SETTLE_S + random.Random(seed).uniform(0.0, 5.0))
    cluster = policy.deployment is Deployment.CLUSTER
    node = world.nodes[policy.nodes[0 if cluster else turn % len(policy.nodes)].name]  # one that serves
    fault.strike(world, node)
    others = [other for other in world.nodes.values() if other is not node]
    risk = sum(1 for message in node.mailbox if not any(message in other.mailbox for other in others))
    out = await _until(world, lambda: not _published(world, node.name))
    fault.repair(world, node)
    back = None
    if out is not None:
        there = _stands_by if cluster else _published_everywhere
        back = await _until(world, lambda: there(world, node.name))
    await world.close()
    return out, back, risk


async def _until(world: World, what: Callable[[], bool]) -> float | None:
    """Seconds until it is true; None after `LIMIT_S`."""
    began_s = world.now_s
    while not what():
        if world.now_s - began_s > LIMIT_S:
            return None
        await asyncio.sleep(0.1)
    return world.now_s - began_s


def _published(world: World, node: str) -> bool:
    return any(node in names for names in _answers(world, node))


def _stands_by(world: World, node: str) -> bool:
    return all(record.phase is Phase.STANDBY for record in world.state.phases_of(node))


def _published_everywhere(world: World, node: str) -> bool:
    return all(node in names for names in _answers(world, node))


def _answers(world: World, node: str) -> list[tuple[str, ...]]:
    return [
        world.published(target, endpoint.name)
        for endpoint in world.policy.endpoints_of(node)
        for target in endpoint.targets
    ]
