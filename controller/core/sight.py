"""Sight: what the observers' reports add up to, by votes of *configured* observers (I6).

A report that is stale, tilted, missing, or of another configuration votes for nothing. A verdict needs
the policy's votes; anything less is UNKNOWN. Facts and lag are measurements, not votes: the freshest
one counts, with its age.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf

from mailward.model.fencing import NodeFacts
from mailward.model.health import FailureKind, ServiceReport, Vantage, Verdict
from mailward.model.replication import Confidence, Lag
from mailward.model.report import NodeReport
from mailward.model.snapshot import ObserverView, Snapshot


@dataclass(frozen=True, slots=True)
class ServiceView:
    """The agreed verdict on a service. Ages are of the *youngest* agreeing report: careful.

    `verdict_age_s` is how old the verdict was when it was last reported: so long it has stood for certain,
    however late the report is. `answered_age_s` is how long ago the last of the agreeing observers had a
    dialogue that went well, `failed_age_s` how long ago the newest of their probes failed, as far as their
    last ones did."""

    service: str
    verdict: Verdict
    evidence: str
    vantage: Vantage | None = None
    verdict_age_s: float = 0.0
    symptom_age_s: float = 0.0
    failed_age_s: float = inf
    recovering: bool = False  # the newest dialogue went well, the verdict has not turned yet
    doubtful: bool = False  # it failed in a way that we ourselves, or what all nodes share, can cause
    cut_off: bool = False  # nothing came back at all: no RST, no bytes
    answered_age_s: float = inf
    cert_days_left: float | None = None


@dataclass(frozen=True, slots=True)
class NodeView:
    """One node. `facts` is None unless fresh; `helper_error` why it is not answering now."""

    node: str
    services: Mapping[str, ServiceView]
    facts: NodeFacts | None
    facts_age_s: float
    helper_error: str


@dataclass(frozen=True)
class Sight:
    """The cluster as seen at the snapshot's `now`; `blind` lists observers whose vote is void."""

    nodes: Mapping[str, NodeView]
    voters: tuple[ObserverView, ...]
    blind: tuple[str, ...]
    needed: int
    lag_fresh_s: float

    @cached_property
    def votes(self) -> int:
        return sum(view.votes for view in self.voters)

    @cached_property
    def lags(self) -> Mapping[tuple[str, str], Lag]:
        return _lags(self.voters, self.lag_fresh_s)


_Said = tuple[ObserverView, NodeReport]
_Ballot = tuple[ObserverView, ServiceReport]


def see(snapshot: Snapshot) -> Sight:
    """Add up the reports."""
    policy = snapshot.policy
    voters, blind = trusted(snapshot)
    return Sight(
        nodes={view.node: view for view in _seen(snapshot, voters, policy.votes_needed)},
        voters=tuple(voters),
        blind=tuple(f"{name}: {why}" for name, why in blind.items()),
        needed=policy.votes_needed,
        lag_fresh_s=policy.rules.lag_fresh_s,
    )


def seen_by(snapshot: Snapshot, observer: str) -> Iterator[NodeView]:
    """Every node by the word of one observer alone; each when it is asked for."""
    voters, _ = trusted(snapshot)
    return _seen(snapshot, [view for view in voters if view.name == observer], 1)


def _seen(snapshot: Snapshot, voters: Sequence[ObserverView], needed: int) -> Iterator[NodeView]:
    policy = snapshot.policy
    owners = {node.hostname: node.name for node in policy.nodes if node.hostname}
    by_node: dict[str, list[_Said]] = {node.name: [] for node in policy.nodes}
    for view in voters:
        for report in view.report.nodes if view.report else ():
            if report.node in by_node:
                by_node[report.node].append((view, report))
    for node, said in by_node.items():
        ballots = _ballots(said)
        services = {
            service.name: _agree(service.name, ballots.get(service.name, ()), needed, owners, node)
            for service in policy.services
        }
        yield _node_view(node, services, said, policy.rules.facts_fresh_s)


def trusted(snapshot: Snapshot) -> tuple[list[ObserverView], dict[str, str]]:
    """Those whose reports count, with the votes they are configured to have; and why the others' are void, by
    name."""
    views = {view.name: view for view in snapshot.observers}
    blind: dict[str, str] = {}
    voters = []
    for observer in snapshot.policy.observers:
        view = views.get(observer.name) or ObserverView(observer.name, observer.votes, None, 0.0)
        reason = _void(view, snapshot)
        if reason:
            blind[observer.name] = reason
        else:
            voters.append(view if view.votes == observer.votes else replace(view, votes=observer.votes))
    return voters, blind


def _ballots(said: Sequence[_Said]) -> dict[str, list[_Ballot]]:
    """What was said of one node, by service."""
    found: dict[str, list[_Ballot]] = {}
    for view, report in said:
        for service in report.services:
            found.setdefault(service.service, []).append((view, service))
    return found


def _void(view: ObserverView, snapshot: Snapshot) -> str:
    reason = unheard(view, snapshot)
    if not reason and view.report and view.report.config_digest != snapshot.policy.digest:
        return "runs with another configuration"
    return reason


def unheard(view: ObserverView, snapshot: Snapshot) -> str:
    """Why nothing that it says counts, whatever its configuration; '' if it does."""
    if view.report is None:
        return "has not reported yet"
    if view.age_s == inf:
        return "has not reported since this daemon started"
    if view.age_s > snapshot.policy.rules.report_fresh_s:
        return f"last reported {view.age_s:.0f} s ago"
    if view.report.tilted:
        return "does not trust itself at the moment (its clock or its process was held up)"
    return ""


def _agree(
    service: str, ballots: Sequence[_Ballot], needed: int, owners: Mapping[str, str], node: str
) -> ServiceView:
    by_verdict: dict[Verdict, list[_Ballot]] = {}
    for ballot in ballots:
        by_verdict.setdefault(ballot[1].verdict, []).append(ballot)
        last = ballot[1].last
        owner = owners.get(last.answered_by, node) if last and last.answered_by else node
        if owner != node:
            return ServiceView(service, Verdict.UNKNOWN, f"{owner} answered at this node's address")
    for verdict in (Verdict.DOWN, Verdict.UP):
        agreeing = by_verdict.get(verdict, ())
        if sum([view.votes for view, _ in agreeing]) >= needed:
            return _view(service, verdict, agreeing)
    if not ballots:
        return ServiceView(service, Verdict.UNKNOWN, "no fresh report")
    said = ", ".join(f"{v.name} says {s.verdict} ({s.evidence})" for v, s in ballots)
    return ServiceView(service, Verdict.UNKNOWN, said, vantage=ballots[0][1].vantage)


def _view(service: str, verdict: Verdict, agreeing: Sequence[_Ballot]) -> ServiceView:
    newest = min(agreeing, key=_by_age)[1] if len(agreeing) > 1 else agreeing[0][1]
    last = newest.last
    failure = last.failure if last else None
    certificate = last.certificate if last else None
    ends = [(v.age_s + s.probe_age_s, s.last is not None and s.last.ok) for v, s in agreeing]
    return ServiceView(
        service=service,
        verdict=verdict,
        evidence=newest.evidence or str(failure or "dialogue complete"),
        vantage=newest.vantage,
        verdict_age_s=min([s.verdict_age_s for _, s in agreeing]),
        symptom_age_s=min([v.age_s + (s.symptom_age_s or 0.0) for v, s in agreeing]),
        failed_age_s=min([inf if went_well else age_s for age_s, went_well in ends]),
        recovering=verdict is Verdict.DOWN and last is not None and last.ok,
        doubtful=failure is not None and failure.kind not in _OF_THE_NODE,
        cut_off=failure is not None and failure.stage == "connect" and failure.kind in _SILENT,
        answered_age_s=max([age_s if went_well else inf for age_s, went_well in ends]),
        cert_days_left=certificate.days_left if certificate else None,
    )


def _by_age(ballot: _Ballot) -> tuple[float, str]:
    view, report = ballot
    return (view.age_s + report.probe_age_s, view.name)


_SILENT = (FailureKind.TIMEOUT, FailureKind.UNREACHABLE)
_OF_THE_NODE = (FailureKind.REFUSED, FailureKind.RESET, FailureKind.CLOSED)


def _node_view(
    node: str,
    services: Mapping[str, ServiceView],
    reports: Sequence[_Said],
    fresh_s: float,
) -> NodeView:
    with_facts = [(v.age_s + r.facts_age_s, v.name, r) for v, r in reports if r.facts is not None]
    error = next((r.helper_error for _, r in reports if r.helper_error), "")
    if not with_facts:
        return NodeView(node, services, None, 0.0, error or "no status yet")
    age, _, newest = min(with_facts, key=lambda entry: entry[:2])
    if age > fresh_s:
        return NodeView(node, services, None, age, error or f"last answered {age:.0f} s ago")
    return NodeView(node, services, newest.facts, age, newest.helper_error)


def _lags(voters: Sequence[ObserverView], fresh_s: float) -> dict[tuple[str, str], Lag]:
    """The freshest figure per direction; one older than `fresh_s` is STALE, never KNOWN."""
    best: dict[tuple[str, str], tuple[int, float, Lag]] = {}
    for view in voters:
        for lag in view.report.lags if view.report else ():
            age_s, confidence = lag.age_s + view.age_s, lag.confidence
            if confidence is Confidence.KNOWN and age_s > fresh_s:
                confidence = Confidence.STALE
            key, doubt = (lag.source, lag.target), _BELIEVED.index(confidence)
            if key not in best or (doubt, age_s) < best[key][:2]:
                best[key] = (doubt, age_s, lag)
    return {
        key: replace(lag, age_s=age_s, confidence=_BELIEVED[doubt])
        for key, (doubt, age_s, lag) in best.items()
    }


_BELIEVED = (Confidence.KNOWN, Confidence.STALE, Confidence.UNKNOWN)
