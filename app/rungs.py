"""Each rung of a node's ladder, tried without harm: nothing is claimed, ordered, closed or switched.

What is tried is the way to whatever would stop the node, and that it is ready to. A helper has to show that
its firewall can be asked, and holds what was ordered last: one that lets everybody in all the same would
close nothing either. A power switch has to read on: if it reads off while its node runs, it is another's.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from mailward.app.status import RungTried, Worked
from mailward.app.wording import duration, printable
from mailward.fencing.agent.device import Device
from mailward.model.fencing import NodeFacts, Power
from mailward.model.policy import Rung, RungKind
from mailward.model.ports import Helper
from mailward.model.snapshot import Snapshot
from mailward.model.state import Phase

MARGIN_S = 2.0
"""Each has a deadline of its own; this is for one that does not keep it."""

Came = tuple[Worked, str]


@dataclass(frozen=True, slots=True)
class Means:
    """What the rungs of `node` are tried with; `asked` is its helper by way of the daemon beside it."""

    snapshot: Snapshot
    node: str
    helper: Helper | None = None
    asked: Helper | None = None
    device: Device | None = None


async def try_all(means: Means) -> tuple[RungTried, ...]:
    """All at once; in the ladder's order."""
    ladder = means.snapshot.policy.node_by_name[means.node].ladder
    return tuple(await asyncio.gather(*(_timed(rung, means) for rung in ladder)))


async def _timed(rung: Rung, means: Means) -> RungTried:
    loop = asyncio.get_running_loop()
    began, limit_s = loop.time(), rung.timeout_s + MARGIN_S
    try:
        async with asyncio.timeout(limit_s):
            worked, detail = await TRIALS[rung.kind](means)
    except TimeoutError:
        worked, detail = Worked.FAILS, f"no answer within {limit_s:g} s"
    return RungTried(rung.kind.value, worked, printable(detail, 300), loop.time() - began)


async def _ask(means: Means) -> Came:
    return await _ready(means.asked, means)


async def _helper(means: Means) -> Came:
    return await _ready(means.helper, means)


async def _ready(helper: Helper | None, means: Means) -> Came:
    if helper is None:
        return Worked.FAILS, "this daemon has no way to it"
    facts = await helper.status()
    if not isinstance(facts, NodeFacts):
        return Worked.FAILS, facts
    missing = [each.name for each in means.snapshot.policy.services if each.name not in facts.ports]
    if missing:
        return Worked.FAILS, f"its node.json does not list {', '.join(missing)}: it would refuse every order"
    if facts.applied is None:
        return Worked.FAILS, "it answers, but its firewall cannot be asked"
    if not facts.applied:
        return Worked.FAILS, "it answers, but its firewall shows something else than was ordered"
    return Worked.WORKS, f"{facts.hostname} answers, and its firewall shows what was ordered"


async def _agent(means: Means) -> Came:
    if means.device is None:
        return Worked.FAILS, "this daemon has no power switch for it"
    reading = await means.device.read()
    if reading.power is Power.ON:
        return Worked.WORKS, f"{means.device.program} reads on; its options are right"
    if reading.power is Power.OFF:
        off = "reads off: if the node runs, it is the switch of another"
        return Worked.FAILS, f"{means.device.program} {off}"
    return Worked.FAILS, reading.detail


async def _lease(means: Means) -> Came:
    """As the daemon beside the node tells: a lease is renewed while the node serves, and only then."""
    serves = any(each.phase is Phase.IN_SERVICE for each in means.snapshot.state.phases_of(means.node))
    for view in means.snapshot.observers:
        lease = view.report.lease if view.report is not None else None
        if lease is None or lease.node != means.node:
            continue
        if lease.renewing:
            return Worked.WORKS, f"armed: {view.name} renews it"
        idle = f"not armed: {view.name} has renewed nothing for {duration(lease.idle_s + view.age_s)}"
        return (Worked.FAILS if serves else Worked.UNTRIED), idle
    return Worked.FAILS, "not armed: no daemon beside it tells of a lease"


TRIALS: Mapping[RungKind, Callable[[Means], Awaitable[Came]]] = {
    RungKind.ASK: _ask,
    RungKind.HELPER: _helper,
    RungKind.LEASE: _lease,
    RungKind.AGENT: _agent,
}
