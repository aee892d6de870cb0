"""Admission: where a node stands that the record does not know, or knows only from the configuration."""

from collections.abc import Iterable

from mailward.controller.core.bounds import NAMED
from mailward.controller.core.draft import Draft
from mailward.controller.core.phases import EFFECTS
from mailward.controller.core.sight import Sight
from mailward.model.clock import Moment
from mailward.model.dns import RRset
from mailward.model.fencing import PortKind
from mailward.model.policy import Automation, Deployment, Endpoint, Policy
from mailward.model.state import Cause, Phase, PhaseRecord, State


def admit(draft: Draft) -> None:
    """A (node, endpoint) new to the record is in service, as configured: DNS may list it already.
    One that joins others in service comes in as any node does (I12): it may be empty. A node that is away
    for its other endpoints is away for this one as well, and so is one whose helper closed its ports before
    this store was made, or has not said whether it did, if that leaves somebody to serve it: it may have been
    an operator's word, and only another brings it back.
    A phase no longer configured is forgotten, unless an operation is at it."""
    policy, state = draft.policy, draft.state
    if policy.deployment is Deployment.CLUSTER:
        _admit_to_a_cluster(draft)
        return
    acting = policy.automation is Automation.ACT
    first = not any(record.phase is Phase.IN_SERVICE for record in state.phases)
    if acting and first and (silent := _may_yet_tell(draft)):
        named = ", ".join(silent[:NAMED]) + (f" and {len(silent) - NAMED} more" if silent[NAMED:] else "")
        patience_s = policy.rules.step_patience_s
        draft.waits_for = f"waiting up to {patience_s:g} s for what mailward-node on {named} remembers"
        return
    for endpoint in policy.endpoints:
        records = {name: state.phase_of(name, endpoint.name) for name in endpoint.nodes}
        served = any(r is not None and r.phase is Phase.IN_SERVICE for r in records.values())
        closed = _closed_before(state, draft.sight, endpoint) if acting else []
        if not closed and None not in records.values():
            continue
        away = {name: _away(state, name) for name in endpoint.nodes}
        stay = [name for name in endpoint.nodes if name not in closed and _stays(records[name], away[name])]
        unheard = _unheard(draft, endpoint) if acting and first else []
        if any(name not in unheard for name in stay):
            stay = [name for name in stay if name not in unheard]
        nobody = not stay
        for name, record in records.items():
            gone = away[name]
            if name in closed and not nobody and (record is None or record.phase is Phase.IN_SERVICE):
                draft.set_phase(name, endpoint.name, Phase.OUT, Cause.OPERATOR, _CLOSED_BEFORE)
            elif name in unheard and name not in stay and record is None and not nobody:
                draft.set_phase(name, endpoint.name, Phase.OUT, Cause.OPERATOR, _UNHEARD)
            elif record is not None:
                continue
            elif gone is not None and not nobody:
                draft.set_phase(name, endpoint.name, Phase.OUT, gone.cause, gone.detail)
            elif acting and served:
                draft.set_phase(name, endpoint.name, Phase.OUT, detail="new in the configuration")
            else:
                draft.set_phase(name, endpoint.name, Phase.IN_SERVICE)
    _forget(draft)


def _forget(draft: Draft) -> None:
    if draft.state.operation is None:
        for record in draft.state.phases:
            if (record.node, record.endpoint) not in draft.policy.pairs:
                draft.forget_phase(record)


def _admit_to_a_cluster(draft: Draft) -> None:
    """Who serves is recorded, by an operation or when the store was made; nobody guesses it. A node that is
    new comes in as any does, and an endpoint that is new as all others of its node."""
    known = {record.node: record for record in draft.state.phases}
    for record in draft.state.phases:
        if record.node not in draft.policy.node_by_name:
            draft.forget_phase(record)  # no longer ours
    if draft.state.operation is not None:
        return  # where everybody stands is known when it is over
    if not known:
        draft.waits_for = "nobody has said which node serves: mailward state init --active NODE"
        return
    for (node, name), _ in draft.policy.pairs.items():
        if draft.state.phase_of(node, name) is not None:
            continue
        like = known.get(node)
        if like is None:
            draft.set_phase(node, name, Phase.OUT, detail="new in the configuration")
        else:
            draft.set_phase(node, name, like.phase, like.cause, like.detail)
    _forget(draft)


def _may_yet_tell(draft: Draft) -> list[str]:
    """The nodes whose helpers have not said what they hold, while nobody is admitted: a moment only."""
    since, patience_s = draft.state.epoch_since, draft.policy.rules.step_patience_s
    if since is None or since.age_s(draft.now) >= patience_s:
        return []
    views = draft.sight.nodes
    return [node.name for node in draft.policy.nodes if node.fenced and views[node.name].facts is None]


def _stays(record: PhaseRecord | None, gone: PhaseRecord | None) -> bool:
    """Whether a node serves an endpoint, or will once it is admitted."""
    return EFFECTS[record.phase].published if record is not None else gone is None


_CLOSED_BEFORE = "its client ports were closed before this store was made, and nobody knows why"


def _closed_before(state: State, sight: Sight, endpoint: Endpoint) -> list[str]:
    """The nodes whose helpers hold ports closed that this store has never ordered."""
    found = []
    for name in endpoint.nodes:
        facts = sight.nodes[name].facts
        if facts is None or facts.forced or state.ports_of(name) is not None:
            continue
        ports = [facts.ports.get(service) for service in endpoint.services]
        if any(port is not None and port.kind is PortKind.CLOSED for port in ports):
            found.append(name)
    return found


_UNHEARD = "its helper has not said, since this store was made, whether it had been taken out before"


def _unheard(draft: Draft, endpoint: Endpoint) -> list[str]:
    """The nodes whose helpers may hold ports closed for an earlier store, and have not answered this one."""
    if not draft.state.made_epoch:
        return []  # nothing remembered anything when it was made: there was none
    nodes, views = draft.policy.node_by_name, draft.sight.nodes
    return [name for name in endpoint.nodes if nodes[name].fenced and views[name].facts is None]


def _away(state: State, node: str) -> PhaseRecord | None:
    """Why a node is out of service, None if it serves anything: an operator's word first."""
    records = state.phases_of(node)
    if not records or any(EFFECTS[r.phase].published for r in records):
        return None
    return next((r for r in records if r.cause is Cause.OPERATOR), records[0])


def serving(policy: Policy, active: str, now: Moment) -> tuple[PhaseRecord, ...]:
    """Where the nodes of a cluster stand when a person says who serves: the others stand by."""
    return tuple(
        PhaseRecord(node, name, Phase.IN_SERVICE if node == active else Phase.STANDBY, now)
        for node, name in sorted(policy.pairs)
    )


NOT_IN_DNS = "it was not in DNS when this store was made, and nobody knows why"


def left_out(policy: Policy, answers: Iterable[RRset], now: Moment) -> tuple[PhaseRecord, ...]:
    """For a store made anew where all serve: whom no target names for an endpoint, while some name another
    node. `answers` is what all targets answer. It may have been an operator's word: they are out of service
    until a person readmits them."""
    named: dict[str, set[str]] = {}
    for rrset in answers:
        named.setdefault(rrset.name, set()).update(rrset.values)
    nodes, missing = policy.node_by_name, []
    for endpoint in policy.endpoints:
        there = named.get(f"{endpoint.name}.", set())
        absent = [name for name in endpoint.nodes if there.isdisjoint(nodes[name].addresses)]
        if len(absent) < len(endpoint.nodes):
            missing += [(name, endpoint.name) for name in absent]
    return tuple(
        PhaseRecord(node, endpoint, Phase.OUT, now, Cause.OPERATOR, NOT_IN_DNS)
        for node, endpoint in sorted(missing)
    )
