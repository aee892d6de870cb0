"""I6, I7 and I8: whom automation takes out of service, and on whose word."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mailward.model.fencing import PortKind
from mailward.model.policy import Automation, Deployment, Endpoint
from mailward.model.state import Cause, Kind, Operation
from mailward.simulator.checkers.truth import OLD_S, News, Truth, in_service, serves
from mailward.simulator.store import Written
from mailward.simulator.world import World

LOOK_S = 1.5
"""How closely the truth is known: once a second."""


@dataclass
class Withdrawals:
    """I6: enough observers could see it broken, for the grace. I7: not everything looked down to all of
    them. I8: somebody else in service was known to serve, and not too many went before, in an hour."""

    truth: Truth
    rule: str = ""
    _began_s: list[float] = field(default_factory=list)

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for commit in news.commits:
            operation, known = commit.after.operation, commit.before.operation
            if operation is None or operation.kind is not Kind.FAILOVER or operation.request is not None:
                continue
            begun = known is None or known.id != operation.id
            found += self._begun(world, operation) if begun else []
            for name in operation.endpoints:
                if begun or (known is not None and name not in known.endpoints):
                    endpoint = world.policy.endpoint_by_name[name]
                    found += self._judge(world, operation.node, endpoint, commit)
        return found

    def _begun(self, world: World, operation: Operation) -> list[str]:
        found = []
        policy = world.policy
        if policy.automation is not Automation.ACT:
            found.append(f"I8: {operation.node} withdrawn, and automation only observes")
        if policy.deployment is not Deployment.HYBRID:
            found.append(f"I8: {operation.node} withdrawn in a deployment {policy.deployment}")
        oldest_s = max(world.now_s - 3600.0 + LOOK_S, world.memory_from_s)
        self._began_s = [at_s for at_s in self._began_s if at_s > oldest_s]
        self._began_s.append(world.now_s)
        if len(self._began_s) > policy.rules.failovers_per_hour:
            found.append(f"I8: {len(self._began_s)} failovers within an hour")
        return found

    def _judge(self, world: World, node: str, endpoint: Endpoint, commit: Written) -> list[str]:
        found, before, record = [], commit.before, commit.after.phase_of(node, endpoint.name)
        grace_s = max(0.0, world.policy.rules.restart_grace_s - LOOK_S)
        if record is not None and record.cause is Cause.DISK:
            grace_s = 0.0
        if not self.truth.lost(world, node, endpoint.name, grace_s):
            saw = self.truth.saw_broken(world, node, endpoint.name, grace_s)
            enough = f"which only {list(saw)} can have seen broken for {grace_s:g} s"
            found.append(f"I6: {node} withdrawn from {endpoint.name}, {enough}")
        others = [name for name in endpoint.nodes if name != node and in_service(before, name, endpoint)]
        if not any(self.truth.known_to_serve(world, name, endpoint) for name in others):
            found.append(f"I8: {node} withdrawn from {endpoint.name}, and nobody else serves it")
        if all(self.truth.answered_ago_s(name) > OLD_S for name in world.nodes):
            found.append(f"I7: {node} withdrawn while nothing answered any observer")
        return found


@dataclass
class SomebodyOpen:
    """I8: never are the ports of every node of an endpoint closed by us."""

    truth: Truth
    rule: str = "I8"

    def look(self, world: World, _news: News) -> Sequence[str]:
        return [
            f"every node of {endpoint.name} is closed for {service}"
            for endpoint in world.policy.endpoints
            for service in endpoint.services
            if all(world.nodes[name].helper.ports[service].kind is PortKind.CLOSED for name in endpoint.nodes)
        ]


@dataclass
class ClosedLast:
    """I2: going out, DNS is first. Ports are not closed while a zone that could have been written to still
    names the node, nor, when it is drained, before clients have had the time an answer may be kept."""

    truth: Truth
    rule: str = "I2"
    _named_s: dict[tuple[str, str, str], float] = field(default_factory=dict)

    def look(self, world: World, news: News) -> Sequence[str]:
        found = []
        for name in world.nodes:
            for entry in news.obeyed[name]:
                recorded = world.recorded.get(entry.token)
                if entry.what == "ports" and recorded is not None and recorded.operation is not None:
                    found += self._closed(world, name, recorded.operation)
        for endpoint in world.policy.endpoints:
            for target in endpoint.targets:
                for name in world.published(target, endpoint.name):
                    self._named_s[name, endpoint.name, target] = world.now_s
        return found

    def _closed(self, world: World, name: str, operation: Operation) -> list[str]:
        if operation.node != name or operation.kind not in (Kind.FAILOVER, Kind.DRAIN):
            return []
        found = []
        node, patience_s = world.nodes[name], world.policy.rules.order_timeout_s + LOOK_S
        for endpoint in (world.policy.endpoint_by_name[e] for e in operation.endpoints):
            if not any(node.helper.ports[s].kind is PortKind.CLOSED for s in endpoint.services):
                continue
            for target in endpoint.targets:
                named_ago_s = world.now_s - self._named_s.get((name, endpoint.name, target), float("-inf"))
                named = name in world.published(target, endpoint.name)
                if named and self.truth.zone_well_for_s(target) > patience_s:
                    found.append(f"{name} was closed while {target} names it for {endpoint.name}")
                if operation.kind is Kind.DRAIN and self._too_soon(world, name, endpoint, named_ago_s):
                    told = f"{named_ago_s:.0f} s after {target} named it last"
                    found.append(f"{name} was drained and closed {told}")
        return found

    def _too_soon(self, world: World, name: str, endpoint: Endpoint, named_ago_s: float) -> bool:
        failed = self.truth.saw_broken(world, name, endpoint.name)
        well = not failed and serves_otherwise(world, name, endpoint)
        return well and named_ago_s < endpoint.ttl_s - LOOK_S


def serves_otherwise(world: World, name: str, endpoint: Endpoint) -> bool:
    """Whether some other node serves it."""
    return any(serves(world.nodes[n], endpoint) for n in endpoint.nodes if n != name)
