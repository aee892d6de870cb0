"""The rules that never bend; those that show in what is about to be recorded and sent, as predicates over it.

I1   Every outside write carries its token, and nothing is obeyed twice.
I2   A hybrid's endpoint never loses its last serving address; a cluster's changes after a verified promotion.
I3   Only names and types of the configuration are touched.
I4   Nobody is opened before all others are stopped for certain, or by a person's word, used once.
I5   Nobody is promoted by itself who lacks more mail than the policy allows; what is unknown is too much.
I6   No action by itself on fewer than the needed fresh votes of configured observers.
I7   Where everything looks down the observer suspects itself.
I8   Nobody is stopped without somebody who can take over, never all of them, and only so often an hour.
I9   Paused means that nothing new is begun.
I10  One operation at a time; each ends, whoever dies.
I11  Without ZooKeeper nothing changes for users, but for what leases close.
I12  A node comes back healthy, caught up and stable only.
I13  Hold-down grows with each flap, and begins when an operation is over.
I14  State that is absent, unreadable or another cluster's means no action.
I15  Senders in doubt are told to come again, never that it failed.
I16  Every decision is explained.

The core checks the predicates here on each of its decisions, the executor `of_order` again before it sends.
Each returns sentences; none means that the rule holds. The others are held by gates, doubts and the steps of
operations. All that the simulator can see on the true state of its world has a checker there
(`simulator/checkers`); I15 is counted in every lab test (`tests/lab/conftest.py`).
"""

from collections.abc import Sequence

from mailward.controller.core.phases import EFFECTS, may_follow
from mailward.model.fencing import FenceOutcome, PortKind, Scope, opens
from mailward.model.orders import Order, OrderPorts, Publish, Verify
from mailward.model.policy import Automation, Deployment, Policy
from mailward.model.state import Operation, State, Step


def violations(policy: Policy, before: State, after: State, send: Sequence[Order]) -> tuple[str, ...]:
    """Everything wrong with going from `before` to `after` and sending `send`."""
    if after is before and not send:
        return ()  # nothing changes
    return (
        *tokens_rise(before, after, send),
        *no_endpoint_empty(policy, send),
        *only_listed_names(policy, send),
        *_new(somebody_stays_open(policy, before), somebody_stays_open(policy, after)),
        *_new(one_is_open(policy, before), one_is_open(policy, after)),
        *opens_only_where_others_are_stopped(policy, after, send),
        *transitions_are_legal(before, after),
    )


def _new(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[str, ...]:
    """What a change of the configuration has brought about already must not hold up its remedy."""
    return tuple(sentence for sentence in after if sentence not in before)


def of_order(policy: Policy, order: Order) -> tuple[str, ...]:
    """What an order must not do by itself, whatever state it was decided in: asked again before sending."""
    return (*no_endpoint_empty(policy, (order,)), *only_listed_names(policy, (order,)))


def tokens_rise(before: State, after: State, send: Sequence[Order]) -> tuple[str, ...]:
    """I1: every order has a token of our store and epoch, higher than any before it."""
    found = []
    last = before.seq if before.epoch == after.epoch else 0
    for order in send:
        token = order.token
        if (token.store_id, token.epoch) != (after.store_id, after.epoch) or token.seq <= last:
            found.append(f"I1: {token} does not rise above {after.store_id}.{after.epoch}.{last}")
        last = token.seq
    if after.seq < last:
        found.append(f"I1: recorded seq {after.seq} is below the last one sent, {last}")
    return tuple(found)


def no_endpoint_empty(policy: Policy, send: Sequence[Order]) -> tuple[str, ...]:
    """I2: nothing published leaves an endpoint without any address; one family may be empty."""
    found = []
    for order in send:
        if not isinstance(order.action, Publish):
            continue
        for endpoint in policy.endpoints:
            mine = [r for r in order.action.rrsets if r.name == f"{endpoint.name}."]
            if mine and not any(r.values for r in mine):
                found.append(f"I2: {endpoint.name} would have no address on {order.action.target}")
    return tuple(found)


def only_listed_names(policy: Policy, send: Sequence[Order]) -> tuple[str, ...]:
    """I3."""
    listed = {f"{endpoint.name}." for endpoint in policy.endpoints}
    return tuple(
        f"I3: {rrset.name} {rrset.type} is not listed"
        for order in send
        if isinstance(order.action, Publish | Verify)
        for rrset in order.action.rrsets
        if rrset.name not in listed or rrset.type not in ("A", "AAAA")
    )


def somebody_stays_open(policy: Policy, after: State) -> tuple[str, ...]:
    """I8: of the nodes behind an endpoint, at least one keeps its client ports open; in a cluster none does
    while service moves."""
    found = []
    for endpoint in policy.endpoints if policy.deployment is not Deployment.CLUSTER else ():
        phases = [after.phase_of(node, endpoint.name) for node in endpoint.nodes]
        known = [record for record in phases if record is not None]
        if len(known) == len(phases) and all(
            EFFECTS[record.phase].ports is PortKind.CLOSED for record in known
        ):
            found.append(f"I8: every node of {endpoint.name} would be closed")
    return tuple(found)


def one_is_open(policy: Policy, after: State) -> tuple[str, ...]:
    """I4: in a cluster at most one node is recorded to have open client ports."""
    if policy.deployment is not Deployment.CLUSTER:
        return ()
    opened = {r.node for r in after.phases if EFFECTS[r.phase].ports is PortKind.OPEN}
    return (f"I4: {', '.join(sorted(opened))} would all be open",) if len(opened) > 1 else ()


def opens_only_where_others_are_stopped(
    policy: Policy, after: State, send: Sequence[Order]
) -> tuple[str, ...]:
    """I4: in a cluster who is promoted is opened when of every other node it is recorded that it is
    stopped."""
    operation = after.operation
    promotes = operation is not None and operation.step is Step.PROMOTE
    if policy.deployment is not Deployment.CLUSTER or not (promotes or policy.automation is Automation.ACT):
        return ()
    found = []
    for order in send:
        if not isinstance(order.action, OrderPorts) or not opens(order.action.ports):
            continue
        others = [node.name for node in policy.nodes if node.name != order.action.node]
        open_yet = [name for name in others if not _recorded_stopped(policy, after, operation, name)]
        if open_yet:
            found.append(f"I4: {order.action.node} would be opened, {', '.join(open_yet)} is not stopped")
    return tuple(found)


def _recorded_stopped(policy: Policy, state: State, operation: Operation | None, node: str) -> bool:
    power, ports = state.power_of(node), state.ports_of(node)
    vouched = operation is not None and any(word.node == node for word in operation.vouched)
    if vouched or (power is not None and power.off is FenceOutcome.CONFIRMED):
        return True
    if ports is not None and ports.lapsed is not None and Scope.USERS.covers(policy.rules.fence_scope):
        return True
    return ports is not None and ports.closed and ports.scope.covers(policy.rules.fence_scope)


def transitions_are_legal(before: State, after: State) -> tuple[str, ...]:
    """I12 and the phase table: nobody goes from `out` to `in-service` but through `rejoining`."""
    found = []
    for record in after.phases:
        old = before.phase_of(record.node, record.endpoint)
        if not may_follow(old.phase if old else None, record.phase):
            start = old.phase if old else "nothing"
            found.append(f"I12: {record.node} {record.endpoint} from {start} to {record.phase}")
    return tuple(found)
