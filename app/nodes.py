"""A node's status out of the snapshot: what is decided, what is seen, what its helper says. Pure.

Verdicts and lags are those of the core's own `see`: a stale, tilted or foreign report is UNKNOWN with the
reason (I6), never the last thing that happened to be seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mailward.app import ladders
from mailward.app.status import (
    EndpointStatus,
    HelperStatus,
    NodeStatus,
    PortsStatus,
    PowerStatus,
    ServiceStatus,
)
from mailward.app.wording import printable
from mailward.controller.core.conditions import full_paths
from mailward.controller.core.sight import Sight, see
from mailward.model.clock import Moment
from mailward.model.decision import Decision, Explanation
from mailward.model.fencing import NodeFacts, UnitState
from mailward.model.health import ServiceReport, Verdict
from mailward.model.policy import Node, Rules
from mailward.model.replication import Confidence, Lag
from mailward.model.report import NodeReport
from mailward.model.snapshot import ObserverView, Snapshot
from mailward.model.state import State


def nodes(snapshot: Snapshot, decision: Decision | None, observer: str) -> tuple[NodeStatus, ...]:
    said = {(each.node, each.endpoint): each for each in decision.explanations} if decision else {}
    seen = _seen(snapshot, observer)
    return tuple(_node(snapshot, node, said, seen, observer) for node in snapshot.policy.nodes)


@dataclass(frozen=True, slots=True)
class _Seen:
    """What all observers agree on; what each says `alone`; the views that count, our own first."""

    agreed: Sight
    alone: Mapping[str, Sight]
    views: tuple[ObserverView, ...]


def _seen(snapshot: Snapshot, observer: str) -> _Seen:
    policy = snapshot.policy
    alone = {
        each.name: see(replace(snapshot, policy=replace(policy, observers=(each,))))
        for each in policy.observers
    }
    counting = (v for v in _by_preference(snapshot, observer) if v.name in alone and not alone[v.name].blind)
    return _Seen(see(snapshot), alone, tuple(counting))


def _node(
    snapshot: Snapshot,
    node: Node,
    said: Mapping[tuple[str, str], Explanation],
    seen: _Seen,
    observer: str,
) -> NodeStatus:
    state, now = snapshot.state, snapshot.now
    endpoints = snapshot.policy.endpoints_of(node.name)
    offered = {service for endpoint in endpoints for service in endpoint.services}
    services = [service.name for service in snapshot.policy.services if service.name in offered]
    return NodeStatus(
        node=node.name,
        site=node.site,
        fenced=node.fenced,
        endpoints=tuple(
            _endpoint(state, now, node.name, endpoint.name, said.get((node.name, endpoint.name)))
            for endpoint in endpoints
        ),
        services=tuple(_service(seen, node.name, service) for service in services),
        helper=_helper(snapshot, node.name, observer),
        ports=ports_of(state, now, node.name),
        rungs=ladders.of_a_cluster(snapshot, node.name),
        power=power_of(state, now, node.name),
    )


def _endpoint(
    state: State, now: Moment, node: str, endpoint: str, said: Explanation | None
) -> EndpointStatus:
    record = state.phase_of(node, endpoint)
    known = (
        EndpointStatus(endpoint, None)
        if record is None
        else EndpointStatus(
            endpoint, record.phase, record.since.age_s(now), record.cause, printable(record.detail)
        )
    )
    if said is None:
        return known
    return EndpointStatus(
        endpoint,
        known.phase,
        known.for_s,
        known.cause,
        known.detail,
        condition=said.condition,
        evidence=printable(said.evidence),
        row=said.row,
        goal=said.goal,
        held=said.held,
    )


def _by_preference(snapshot: Snapshot, observer: str) -> list[ObserverView]:
    """Our own view first, then the others by name."""
    return sorted(snapshot.observers, key=lambda view: (view.name != observer, view.name))


def _report_on(view: ObserverView, node: str) -> NodeReport | None:
    if view.report is None:
        return None
    return next((each for each in view.report.nodes if each.node == node), None)


def _service_in(report: NodeReport | None, service: str) -> ServiceReport | None:
    if report is None:
        return None
    return next((each for each in report.services if each.service == service), None)


def _service(seen: _Seen, node: str, service: str) -> ServiceStatus:
    agreed = seen.agreed.nodes[node].services[service]
    blind = f" ({'; '.join(seen.agreed.blind)})" if seen.agreed.blind else ""
    known = ServiceStatus(
        service=service,
        verdict=agreed.verdict,
        evidence=printable(agreed.evidence + (blind if agreed.verdict is Verdict.UNKNOWN else "")),
        verdicts={name: sight.nodes[node].services[service].verdict for name, sight in seen.alone.items()},
    )
    for view in seen.views:
        report = _service_in(_report_on(view, node), service)
        if report is not None:
            return _detailed(known, report, view.age_s)
    return known


def _detailed(known: ServiceStatus, seen: ServiceReport, age_s: float) -> ServiceStatus:
    """With what one observer saw. How long the verdict has stood is its own to say if it agrees."""
    last = seen.last
    return replace(
        known,
        failure=printable(str(last.failure)) if last and last.failure else "",
        vantage=seen.vantage,
        for_s=seen.verdict_age_s + age_s if seen.verdict is known.verdict else None,
        probe_age_s=seen.probe_age_s + age_s,
        symptom_for_s=None if seen.symptom_age_s is None else seen.symptom_age_s + age_s,
        took_s=last.seconds if last and last.ok else None,
        stages_s={printable(each.stage, 32): each.seconds for each in last.stages} if last else {},
        certificate_days=last.certificate.days_left if last and last.certificate else None,
    )


def _helper(snapshot: Snapshot, node: str, observer: str) -> HelperStatus:
    token = snapshot.state.helper(node).claimed
    claimed = token is not None and token.epoch == snapshot.state.epoch
    for view in _by_preference(snapshot, observer):
        report = _report_on(view, node)
        if report is None:
            continue
        error = printable(report.helper_error)
        if report.facts is None:
            return HelperStatus(error=error, claimed=claimed)
        return _facts(report.facts, report.facts_age_s + view.age_s, error, claimed, snapshot.policy.rules)
    return HelperStatus(claimed=claimed)


def _facts(facts: NodeFacts, age_s: float, error: str, claimed: bool, rules: Rules) -> HelperStatus:
    units = {
        printable(unit, 64): state.value
        for unit, state in sorted(facts.units.items())
        if state is not UnitState.ACTIVE
    }
    return HelperStatus(
        age_s=age_s,
        error=error,
        forced_open=facts.forced,
        firewall_differs=facts.applied is False,
        package_manager=facts.package_manager,
        units=units,
        low_space=tuple(printable(text, 120) for text in full_paths(facts, rules)),
        claimed=claimed,
        lease_s=facts.lease_s,
        renewed_ago_s=_renewed_ago_s(facts, age_s),
        lease_ran_out=facts.lease_left_s is not None and facts.lease_left_s <= 0,
    )


def _renewed_ago_s(facts: NodeFacts, age_s: float) -> float | None:
    """None also where it ran out: since when is not known."""
    if facts.lease_s is None or not facts.lease_left_s:
        return None
    return facts.lease_s - facts.lease_left_s + age_s


def ports_of(state: State, now: Moment, node: str) -> PortsStatus | None:
    record = state.ports_of(node)
    if record is None:
        return None
    return PortsStatus(
        ports={service: str(port) for service, port in sorted(record.ports.items())},
        fence=record.fence,
        scope=record.scope,
        token=str(record.token),
        for_s=record.at.age_s(now),
        detail=printable(record.detail),
    )


def power_of(state: State, now: Moment, node: str) -> PowerStatus | None:
    record = state.power_of(node)
    if record is None:
        return None
    return PowerStatus(record.off, record.at.age_s(now), printable(record.detail))


def lags(snapshot: Snapshot, _observer: str) -> tuple[Lag, ...]:
    """One figure per direction between nodes that replicate, as the core has it; UNKNOWN where nobody
    measured."""
    names = [node.name for node in snapshot.policy.nodes if node.replicates]
    sight = see(snapshot)
    unmeasured = "no fresh report" if sight.blind else "nobody measures it yet"
    return tuple(
        _lag(sight.lags.get((source, target)) or Lag(source, target, Confidence.UNKNOWN, detail=unmeasured))
        for source in names
        for target in names
        if source != target
    )


def _lag(lag: Lag) -> Lag:
    return replace(lag, measured_by=printable(lag.measured_by), detail=printable(lag.detail))
