"""One run from one seed: faults and safety first, then everything heals, and all must be well again.

A violation is a sentence with the moment it was seen. The same seed gives the same transcript, in any
process: the digest proves it.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mailward.model.fencing import Scope
from mailward.model.policy import (
    Automation,
    Deployment,
    Failback,
    Loss,
    Node,
    Policy,
    Rules,
    Rung,
    RungKind,
    Window,
)
from mailward.model.state import Cause, Phase, RequestKind
from mailward.simulator import virtual
from mailward.simulator.audit import Audit
from mailward.simulator.network import EPOCH_WALL_S
from mailward.simulator.person import Person
from mailward.simulator.swarm import KINDS, Kind, Strike, Swarm, drawn, kinds_for
from mailward.simulator.world import World

LOOK_S = 1.0
MOMENT_S = 0.001
CONVERGES_WITHIN_S = 1800.0
LEASED = 0.4
"""How likely leases are armed in a cluster that may have them."""
SHARED = 0.15
"""How likely nodes without leases share a store, so that what writes is stopped as well."""


@dataclass(frozen=True)
class Outcome:
    """What came of a run. `operations` counts endings by kind, `faults` what struck by kind. A run that has
    left the fault model says why in `outside`; what was objected to after that is in `set_aside`, and counts
    as `excused` as all else does that no rule promises."""

    seed: int
    hours: float
    violations: tuple[str, ...]
    excused: int
    excused_by_reason: Mapping[str, int]
    outside: tuple[str, ...]
    set_aside: tuple[str, ...]
    operations: Mapping[str, int]
    faults: Mapping[str, int]
    elections: int
    digest: str


def play(
    policy: Policy, seed: int, hours: float, *, kinds: Sequence[str] = (), pace_s: float = 0.0,
    vary: bool = True, strikes: Sequence[Strike] | None = None,
) -> Outcome:  # fmt: skip
    """Run it on a loop of its own; `hours` is the safety phase. Faults are the `strikes`; if they are not
    given they are drawn, of these `kinds`, one every `pace_s` or so. The policy's rules are varied, or kept
    as they are."""
    if strikes is None:
        strikes = strikes_of(seed, hours, kinds, pace_s, kinds_for(policy))
    return virtual.run(_play(policy, seed, hours, strikes, vary))


def strikes_of(
    seed: int, hours: float, kinds: Sequence[str] = (), pace_s: float = 0.0, among: Sequence[Kind] = KINDS
) -> tuple[Strike, ...]:
    """What `play` draws from this seed."""
    return drawn(random.Random(f"{seed} strikes"), hours * 3600.0, kinds, pace_s, among)


async def _play(policy: Policy, seed: int, hours: float, strikes: Sequence[Strike], vary: bool) -> Outcome:
    rng = random.Random(seed)
    varied = _of_its_own(_varied(policy, rng), seed) if vary else policy
    world = World(varied, rng.randrange(2**32))
    faults = Swarm(world, strikes)
    audit = Audit(world)
    await world.open()
    try:
        await _safety(world, faults, audit, hours * 3600.0)
        faults.heal()
        await _liveness(world, audit)
    finally:
        await world.close()
    return Outcome(
        seed=seed,
        hours=world.now_s / 3600.0,
        violations=tuple(audit.violations),
        excused=audit.excused,
        excused_by_reason=audit.excused_by_reason,
        outside=audit.outside,
        set_aside=tuple(audit.set_aside),
        operations=audit.operations,
        faults=dict(sorted(faults.struck.items())),
        elections=len(world.ensemble.history),
        digest=world.digest,
    )


def _varied(policy: Policy, rng: random.Random) -> Policy:
    """Each run has its own policy; some only observe, some have a target that cannot refuse."""
    varied = replace(
        policy,
        rules=_rules(policy.rules, rng),
        automation=Automation.OBSERVE if rng.random() < 0.05 else policy.automation,
        unguarded=policy.targets[:1] if rng.random() < 0.15 else (),
    )
    return _of_a_cluster(varied, rng) if policy.deployment is Deployment.CLUSTER else varied


def _of_a_cluster(policy: Policy, rng: random.Random) -> Policy:
    """Some of whose nodes cannot be switched off, and some of which are open for a lease."""
    rules = replace(
        policy.rules,
        takeover_after_s=rng.choice((5.0, 30.0)),
        rescue_s=rng.choice((0.0, 10.0)),
        loss=rng.choice(tuple(Loss)),
    )
    chance = rng.random()  # its half says one thing, where in its half another: seeds stay what they were
    policy = replace(policy, rules=rules) if 2 * chance % 1.0 >= LEASED else _leased(policy, rules)
    if chance < 0.5:
        return policy
    ladders = [tuple(rung for rung in n.ladder if rung.kind is not RungKind.AGENT) for n in policy.nodes]
    nodes = tuple(replace(n, ladder=ladder) for n, ladder in zip(policy.nodes, ladders, strict=True))
    return replace(policy, nodes=nodes)


def _leased(policy: Policy, rules: Rules) -> Policy:
    """A lease is renewed by the daemon beside a node: without one beside each there are none, nor where
    writers are to be stopped: a lease stops none."""
    beside = {observer.name for observer in policy.observers}
    arms = all(node.name in beside for node in policy.nodes) and Scope.USERS.covers(rules.fence_scope)
    if rules.lease_s is not None or not arms:
        return replace(policy, rules=rules)
    rules = replace(rules, lease_s=15.0)
    lease = Rung(RungKind.LEASE, rules.lease_over_s or 0.0)
    return replace(policy, rules=rules, nodes=tuple(_with(node, lease) for node in policy.nodes))


def _with(node: Node, lease: Rung) -> Node:
    """What asks comes first, and the power last."""
    power = tuple(rung for rung in node.ladder if rung.kind is RungKind.AGENT)
    asks = tuple(rung for rung in node.ladder if rung not in power)
    return replace(node, ladder=(*asks, lease, *power))


def _of_its_own(policy: Policy, seed: int) -> Policy:
    """What a cluster may have besides, each drawn apart: so a seed's other draws, and kept stories, stay."""
    if policy.deployment is not Deployment.CLUSTER:
        return policy
    shares = random.Random(f"{seed} sharing").random() < SHARED and policy.rules.lease_s is None
    if shares:
        policy = replace(policy, rules=replace(policy.rules, fence_scope=Scope.WRITES))
    return _going_back(policy, random.Random(f"{seed} failback"))


def _going_back(policy: Policy, rng: random.Random) -> Policy:
    """In some clusters one is preferred, and service goes back to it by itself."""
    mode = rng.choice((Failback.MANUAL, Failback.AUTO, Failback.WINDOW))
    if mode is Failback.MANUAL:
        return policy
    from_s = (EPOCH_WALL_S + rng.uniform(0.0, 1800.0)) % 86400.0
    window = Window("now and then", from_s, (from_s + rng.uniform(300.0, 1800.0)) % 86400.0)
    preferred = rng.choice(policy.nodes)
    nodes = tuple(replace(node, priority=9) if node is preferred else node for node in policy.nodes)
    rules = replace(
        policy.rules, failback=mode, failback_after_s=rng.choice((60.0, 120.0, 300.0)),
        failback_window=window if mode is Failback.WINDOW else None,
    )  # fmt: skip
    return replace(policy, nodes=nodes, rules=rules)


def _rules(rules: Rules, rng: random.Random) -> Rules:
    """Hold-down is short enough that all can converge."""
    return replace(
        rules,
        restart_grace_s=rng.choice((0.0, 1.0, 5.0)),
        stable_s=rng.choice((2.0, 10.0, 30.0)),
        hold_down_s=rng.choice((5.0, 30.0)),
        hold_down_max_s=300.0,
        catch_up_wait_s=rng.choice((30.0, 300.0)),
        failovers_per_hour=rng.choice((2, 6, 60)),
        last_resort=rng.random() < 0.8,
    )


async def _safety(world: World, faults: Swarm, audit: Audit, for_s: float) -> None:
    world.on_change = lambda _what: audit.look()
    person = Person(world)
    while world.now_s < for_s:
        await virtual.sleep(max(MOMENT_S, min(LOOK_S, faults.next_s - world.now_s)))
        faults.go_on()
        person.look()
        audit.look()


async def _liveness(world: World, audit: Audit) -> None:
    """No fault any more: full redundancy, nothing pending, DNS right, all mail everywhere."""
    began_s, asked_s = world.now_s, float("-inf")
    world.ensemble.post(None)
    _start_again(world)
    person = Person(world)
    while why := world.settled():
        person.look()
        if world.now_s - began_s > CONVERGES_WITHIN_S:
            audit.object(f"not well {CONVERGES_WITHIN_S:.0f} s after the last fault: {why}")
            return
        if world.now_s - asked_s > 120.0:
            asked_s = world.now_s
            _let_in(world)
        await virtual.sleep(LOOK_S)
        audit.look()


def _let_in(world: World) -> None:
    """What only a person's word brings back is asked for by one; daemons that have ended are started again;
    and a store that was once restored from a backup is made anew when the automation, held, says so."""
    _start_again(world)
    if world.state.superseded and world.memory_from_s >= 0.0:
        world.make_store_anew()
    observing = world.policy.automation is Automation.OBSERVE
    for node in world.nodes:
        out = [r for r in world.state.phases if r.node == node and r.phase is Phase.OUT]
        opens = all(world.nodes[node].helper.opens(service.name) for service in world.policy.services)
        hybrid = world.policy.deployment is not Deployment.CLUSTER
        if hybrid and observing and not out and not opens:  # closed before its store was made anew
            world.ask(RequestKind.FAILOVER, node)
        if any(observing or r.cause is Cause.OPERATOR for r in out):
            world.ask(RequestKind.READMIT, node)


def _start_again(world: World) -> None:
    """Daemons that have died or ended."""
    for controller in world.controllers.values():
        if not controller.runs:
            controller.start()
