"""Publishing: what an operation writes to a name server beyond its own endpoints.

A publication says everything of its target, also of endpoints that the operation is not about. What was once
decided of these may not have been published yet, and may do harm by now.
"""

from collections.abc import Iterable
from dataclasses import replace

from mailward.controller.core import doubts
from mailward.controller.core.cases import FAILING, WELL, Situation
from mailward.controller.core.phases import rrsets_of
from mailward.model.dns import RRset
from mailward.model.fencing import FenceOutcome, PortKind
from mailward.model.orders import Action, OrderPorts, Publish, Verify
from mailward.model.policy import Deployment, Endpoint
from mailward.model.state import Kind, Operation, State


def in_scope(situation: Situation, operation: Operation, actions: Iterable[Action]) -> tuple[Action, ...]:
    """The actions of a step without those that a mere repetition must leave out."""
    return tuple(
        action
        for action in actions
        if operation.kind is not Kind.RECONCILE
        or not isinstance(action, Publish | Verify)
        or doubts.may_be_repeated(situation, action.target)
    )


def with_care(situation: Situation, operation: Operation, action: Publish) -> Publish:
    """The publication as things are now. Of endpoints that are not the operation's it does not take away the
    last that serve, nor, while nobody is known to, who may be the first to serve again: that was decided, but
    not done, when somebody else was well. And it puts in nobody who is known to fail while somebody else
    serves, or is named there already (I2)."""
    if situation.snapshot.policy.deployment is Deployment.CLUSTER:
        return action  # one serves, and only what was promoted is published
    found = {rrset.key: rrset for rrset in action.rrsets}
    record = situation.state.target(action.target)
    for endpoint in situation.snapshot.policy.endpoints:
        if action.target not in endpoint.targets:
            continue
        named = record.surely_names(endpoint.name)
        last = [] if endpoint.name in operation.endpoints else _with_the_last(situation, endpoint, named)
        for rrset in last or _without_the_failing(situation, operation, endpoint, named):
            found[rrset.key] = rrset
    return replace(action, rrsets=tuple(sorted(found.values())))


def _without_the_failing(
    situation: Situation, operation: Operation, endpoint: Endpoint, named: set[str]
) -> list[RRset]:
    """What an endpoint is to answer without those who fail and are not known to be named; none where that is
    all, or nobody to be sure of. Whom the operation lets in is its own doubts' business."""
    serving = situation.behind[endpoint.name].serving
    nodes = situation.snapshot.policy.node_by_name
    there = {node for node in serving if not named.isdisjoint(nodes[node].addresses)}
    fails = {node for node in serving if situation.judgements[node, endpoint.name].condition in FAILING}
    left_out = fails - there
    if endpoint.name in operation.endpoints:
        left_out -= {operation.node}
    serves = any(doubts.known_to_serve(situation, node, endpoint.name) for node in serving)
    if not left_out or not (serves or there):
        return []
    return rrsets_of(endpoint, (a for n in serving if n not in left_out for a in nodes[n].addresses))


def _with_the_last(situation: Situation, endpoint: Endpoint, named: set[str]) -> list[RRset]:
    """What an endpoint is to answer when nobody in service is known to serve it, and somebody else does, or
    may be the first to; none where that is not so."""
    serving = set(situation.behind[endpoint.name].serving)
    seen = {node: situation.judgements[node, endpoint.name] for node in endpoint.nodes}
    well = [node for node in endpoint.nodes if seen[node].condition in WELL and seen[node].outside]
    serves = [node for node in well if not _closing(situation.state, node, endpoint)]
    if any(node in serving for node in serves):
        return []
    kept = {*serves, *_named_and_away(situation, endpoint, named)}
    if not kept:
        return []
    nodes = situation.snapshot.policy.node_by_name
    listed = [node for node in endpoint.nodes if node in serving or node in kept]
    return rrsets_of(endpoint, (address for node in listed for address in nodes[node].addresses))


def _named_and_away(situation: Situation, endpoint: Endpoint, named: set[str]) -> list[str]:
    """Who is away and named all the same, with open ports: nobody knows who will serve first."""
    nodes = situation.snapshot.policy.node_by_name
    return [
        node
        for node in situation.behind[endpoint.name].away
        if not named.isdisjoint(nodes[node].addresses) and not _closing(situation.state, node, endpoint)
    ]


def _closing(state: State, node: str, endpoint: Endpoint) -> bool:
    """Whether its ports are closed for an endpoint, or just being closed: observers see it a moment later."""
    record = state.ports_of(node)
    under_way = any(isinstance(o.action, OrderPorts) and o.action.node == node for o in state.orders)
    if record is None or not (under_way or record.fence is FenceOutcome.CONFIRMED):
        return False
    ports = [record.ports.get(service) for service in endpoint.services]
    return any(port is not None and port.kind is PortKind.CLOSED for port in ports)
