"""A node's status out of the snapshot: what is decided, what is seen, what its helper says. Pure.

Shows what the core may use: a stale, tilted or foreign report is shown as UNKNOWN with the reason,
as the core counts it (I6), never as the last thing that happened to be seen.
"""

from collections.abc import Mapping

from mailward.app.status import (
    EndpointStatus,
    HelperStatus,
    NodeStatus,
    PortsStatus,
    ServiceStatus,
)
from mailward.app.wording import duration, printable
from mailward.model.clock import Moment
from mailward.model.decision import Decision, Explanation
from mailward.model.fencing import NodeFacts, Space, UnitState
from mailward.model.health import ServiceReport, Verdict
from mailward.model.policy import Node, Policy, Rules
from mailward.model.replication import Confidence, Lag
from mailward.model.report import NodeReport
from mailward.model.snapshot import ObserverView, Snapshot
from mailward.model.state import State


def nodes(snapshot: Snapshot, decision: Decision | None, observer: str) -> tuple[NodeStatus, ...]:
    said = {(each.node, each.endpoint): each for each in decision.explanations} if decision else {}
    return tuple(_node(snapshot, node, said, observer) for node in snapshot.policy.nodes)


def _node(
    snapshot: Snapshot, node: Node, said: Mapping[tuple[str, str], Explanation], observer: str
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
        services=tuple(_service(snapshot, node.name, service, observer) for service in services),
        helper=_helper(snapshot, node.name, observer),
        ports=_ports(state, now, node.name),
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


def mistrusted(view: ObserverView, policy: Policy) -> str:
    """Why an observer's report does not count now; '' if it does."""
    if view.report is None:
        return f"{view.name} has not reported yet"
    if view.age_s > policy.rules.report_fresh_s:
        return f"the last report of {view.name} is {duration(view.age_s)} old"
    if view.report.tilted:
        return f"{view.name} does not trust itself now (clock jump, pause or starved loop)"
    if view.report.config_digest != policy.digest:
        return f"{view.name} runs with another configuration"
    return ""


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


def _service(snapshot: Snapshot, node: str, service: str, observer: str) -> ServiceStatus:
    verdicts: dict[str, Verdict] = {}
    shown: tuple[ServiceReport, float] | None = None
    doubt = ""
    for view in _by_preference(snapshot, observer):
        seen = _service_in(_report_on(view, node), service)
        why = mistrusted(view, snapshot.policy)
        if why or seen is None:
            verdicts[view.name] = Verdict.UNKNOWN
            doubt = doubt or why or f"{view.name} has not probed it yet"
            continue
        verdicts[view.name] = seen.verdict
        shown = shown or (seen, view.age_s)
    if shown is None:
        return ServiceStatus(service, Verdict.UNKNOWN, doubt or "no observer", verdicts=verdicts)
    return _seen(service, *shown, verdicts)


def _seen(service: str, seen: ServiceReport, age_s: float, verdicts: Mapping[str, Verdict]) -> ServiceStatus:
    last = seen.last
    stages = {} if last is None else {printable(each.stage, 32): each.seconds for each in last.stages}
    return ServiceStatus(
        service=service,
        verdict=seen.verdict,
        evidence=printable(seen.evidence),
        failure=printable(str(last.failure)) if last and last.failure else "",
        vantage=seen.vantage,
        for_s=seen.verdict_age_s + age_s,
        probe_age_s=seen.probe_age_s + age_s,
        symptom_for_s=None if seen.symptom_age_s is None else seen.symptom_age_s + age_s,
        took_s=last.seconds if last and last.ok else None,
        stages_s=stages,
        certificate_days=last.certificate.days_left if last and last.certificate else None,
        verdicts=verdicts,
    )


def _helper(snapshot: Snapshot, node: str, observer: str) -> HelperStatus:
    claimed = snapshot.state.helper(node).claimed is not None
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
    low = (_low(path, space, rules) for path, space in sorted(facts.paths.items()))
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
        low_space=tuple(text for text in low if text),
        claimed=claimed,
    )


def _low(path: str, space: Space, rules: Rules) -> str:
    if space.free_bytes is not None and space.free_bytes < rules.min_free_bytes:
        return f"{printable(path, 80)}: {space.free_bytes // 2**20} MiB free"
    if space.free_inodes is not None and space.free_inodes < rules.min_free_inodes:
        return f"{printable(path, 80)}: {space.free_inodes} inodes free"
    return ""


def _ports(state: State, now: Moment, node: str) -> PortsStatus | None:
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


def lags(snapshot: Snapshot, observer: str) -> tuple[Lag, ...]:
    """One figure per direction between nodes that replicate, ages as of now; UNKNOWN where nobody
    measured, STALE where the figure is older than the policy allows."""
    names = [node.name for node in snapshot.policy.nodes if node.replicates]
    pairs = [(source, target) for source in names for target in names if source != target]
    return tuple(_lag(snapshot, source, target, observer) for source, target in pairs)


def _lag(snapshot: Snapshot, source: str, target: str, observer: str) -> Lag:
    limit_s = snapshot.policy.rules.lag_fresh_s
    for view in _by_preference(snapshot, observer):
        for lag in view.report.lags if view.report else ():
            if (lag.source, lag.target) != (source, target):
                continue
            age_s = lag.age_s + view.age_s
            stale = lag.confidence is Confidence.KNOWN and age_s > limit_s
            return Lag(
                source,
                target,
                Confidence.STALE if stale else lag.confidence,
                lag.seconds,
                lag.mailboxes,
                lag.failed_mailboxes,
                age_s,
                printable(lag.measured_by),
                printable(lag.detail),
            )
    return Lag(source, target, Confidence.UNKNOWN, detail="nobody measures it yet")
