"""Phases: one table of what each does, one of which may follow which.

Effects are derived from phases and nothing else: the desired RRsets and every node's port map.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mailward.model.dns import RRset
from mailward.model.fencing import CLOSED, OPEN, Hook, PortKind, PortState, Scope, Terms, opens
from mailward.model.orders import OrderPorts
from mailward.model.policy import Deployment, Endpoint, Policy
from mailward.model.state import Phase, State


@dataclass(frozen=True, slots=True)
class Effects:
    """What a phase means for clients: in the endpoint's RRsets or not, and its client ports."""

    published: bool
    ports: PortKind


EFFECTS: Mapping[Phase, Effects] = {
    Phase.IN_SERVICE: Effects(published=True, ports=PortKind.OPEN),
    Phase.DRAINING: Effects(published=False, ports=PortKind.OPEN),
    Phase.DEMOTING: Effects(published=False, ports=PortKind.CLOSED),
    Phase.OUT: Effects(published=False, ports=PortKind.CLOSED),
    Phase.REJOINING: Effects(published=False, ports=PortKind.CLOSED),
    Phase.STANDBY: Effects(published=False, ports=PortKind.CLOSED),
    Phase.PROMOTING: Effects(published=False, ports=PortKind.OPEN),
}

TRANSITIONS: Mapping[Phase, tuple[Phase, ...]] = {
    Phase.IN_SERVICE: (Phase.DRAINING, Phase.DEMOTING, Phase.OUT),
    Phase.DRAINING: (Phase.OUT, Phase.IN_SERVICE, Phase.STANDBY),
    Phase.DEMOTING: (Phase.STANDBY, Phase.OUT, Phase.PROMOTING, Phase.IN_SERVICE),
    Phase.OUT: (Phase.REJOINING,),
    Phase.REJOINING: (Phase.PROMOTING, Phase.STANDBY, Phase.OUT),
    Phase.STANDBY: (Phase.PROMOTING, Phase.OUT),
    Phase.PROMOTING: (Phase.IN_SERVICE, Phase.DEMOTING, Phase.OUT),
}


def may_follow(before: Phase | None, after: Phase) -> bool:
    """Whether the table allows it. A (node, endpoint) new to the record starts in service, or out; in a
    cluster an endpoint may be new to a node that stands by."""
    if before is None:
        return after in (Phase.IN_SERVICE, Phase.OUT, Phase.STANDBY)
    return before is after or after in TRANSITIONS[before]


def desired_rrsets(policy: Policy, state: State, target: str) -> tuple[RRset, ...]:
    """Every address RRset this target should hold, empty ones included (they are to be deleted).

    An endpoint of a hybrid that nobody serves, as only a change of the configuration can bring about, keeps
    all configured addresses: a name without any would be worse (I2). In a cluster nothing is wanted while
    nobody serves: what is there stays."""
    wanted = []
    if policy.deployment is Deployment.CLUSTER and not any(
        record.phase is Phase.IN_SERVICE for record in state.phases
    ):
        return ()
    for endpoint in policy.endpoints:
        if target not in endpoint.targets:
            continue
        published = addresses_of(policy, state, endpoint)
        wanted += rrsets_of(endpoint, published or _addresses(policy, endpoint.nodes))
    return tuple(sorted(wanted))


def rrsets_of(endpoint: Endpoint, addresses: Iterable[str]) -> list[RRset]:
    """One RRset for each address family, also if it is empty."""
    listed = sorted(addresses)
    families = {"A": [a for a in listed if ":" not in a], "AAAA": [a for a in listed if ":" in a]}
    return [
        RRset(f"{endpoint.name}.", kind, endpoint.ttl_s, tuple(values)) for kind, values in families.items()
    ]


def addresses_of(policy: Policy, state: State, endpoint: Endpoint) -> tuple[str, ...]:
    """The addresses of the nodes which serve an endpoint."""
    serving = [node for node in endpoint.nodes if _effects(policy, state, node, endpoint.name).published]
    return _addresses(policy, serving)


def _addresses(policy: Policy, nodes: Iterable[str]) -> tuple[str, ...]:
    return tuple(address for node in nodes for address in policy.node_by_name[node].addresses)


def port_map(policy: Policy, state: State, node: str) -> dict[str, PortState]:
    """The whole client port map of a node. A service is closed when every endpoint that needs it is
    closed here; one that no endpoint needs (25 behind an MX) when all of the node's endpoints are."""
    ports = [(e.services, _effects(policy, state, node, e.name).ports) for e in policy.endpoints_of(node)]
    if not any(kind is PortKind.CLOSED for _, kind in ports):
        return {service.name: OPEN for service in policy.services}
    result = {}
    for service in policy.services:
        needed = [kind for services, kind in ports if service.name in services]
        needed = needed or [kind for _, kind in ports]
        closed = bool(needed) and all(kind is PortKind.CLOSED for kind in needed)
        result[service.name] = CLOSED if closed else OPEN
    return result


def order_of_ports(policy: Policy, state: State, node: str, hook: Hook | None = None) -> OrderPorts:
    """A node's whole port map, and what goes with it in a cluster: what is opened is so for a lease, where
    there are any, and promoted, unless it is known to be; where a closed node must not write either, its
    writers are stopped. Closing never waits for a `hook`, DEMOTE is ordered of one that is closed."""
    ports = port_map(policy, state, node)
    if policy.deployment is not Deployment.CLUSTER:
        return OrderPorts(node, ports)
    if opens(ports):
        hook = hook if state.helper(node).promoted else Hook.PROMOTE
        return OrderPorts(node, ports, Terms(lease_s=policy.rules.lease_s, hook=hook))
    return OrderPorts(node, ports, Terms(stop=policy.rules.fence_scope.covers(Scope.WRITES), hook=hook))


def _effects(policy: Policy, state: State, node: str, endpoint: str) -> Effects:
    """What is not recorded is in service, as configured; in a cluster it is as all else of its node, or
    out."""
    record = state.phase_of(node, endpoint)
    if record is None and policy.deployment is Deployment.CLUSTER:
        record = next(iter(state.phases_of(node)), None)
        return EFFECTS[record.phase if record else Phase.OUT]
    return EFFECTS[record.phase if record else Phase.IN_SERVICE]


def diagram() -> str:
    """The transition table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2"]
    for before, follow in TRANSITIONS.items():
        lines += [f"    {before.value} --> {after.value}" for after in follow]
    return "\n".join(lines)
