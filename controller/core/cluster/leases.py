"""Leases: when what is open on a node is closed for certain, because nobody renews it any more. Pure.

Where leases are armed a node's kernel refuses its clients when the daemon beside it renews nothing. That
daemon renews while a node's recorded phase has open ports: one report of its own that says so, acknowledged,
then a look at what is recorded, then one renewal, one after the other. So a lease is revoked by recording
that the node is being stopped, and nothing else; one that has lapsed is not renewed, only a new order opens
the ports again. A renewal that was under way when the lease was revoked may arrive as late as the lease
before it lasts, and lasts as long again: whatever is leased is over two leases after the last such report
(`model.policy.lease_over_s`).

It is counted by our own clock, from when that report was first in our hands, on what was read after it was
recorded that the node is being stopped. A daemon that says that it renews nothing counts since when, by its
own clock. What was ordered open and not heard of may begin as late as that order is carried out, after its
hook: once it was heard of, nothing of it is late any more. And nobody whose helper says that it is open, or
who answers its clients, is closed, whatever was counted.

Not here: a machine that stands still as a whole, and its kernel's clock with it.
"""

from dataclasses import dataclass, replace

from mailward.controller.core.cases import Situation, answers_clients, facts_since
from mailward.controller.core.draft import Draft
from mailward.controller.core.phases import EFFECTS
from mailward.controller.core.sight import unheard
from mailward.model.clock import Moment
from mailward.model.fencing import NodeFacts, PortKind, Scope, opens
from mailward.model.policy import Deployment, lease_over_s
from mailward.model.snapshot import ObserverView
from mailward.model.state import PortsRecord, State

_LASTS = 1.1
"""A lease that was given once lasts at most so many times its length by our clock."""


def note(draft: Draft) -> None:
    """Record what has become of each node's lease: that it is over, that it is not after all, or that there
    is none."""
    if draft.policy.deployment is not Deployment.CLUSTER:
        return
    for node in draft.policy.nodes:
        record = draft.ports_of(node.name)
        if record is not None and (known := _as_known(draft.situation, record)) != record:
            draft.put_ports(known)


def _as_known(situation: Situation, record: PortsRecord) -> PortsRecord:
    if record.lapsed is not None and _opens_since(situation, record.node, record.lapsed):
        record = replace(record, lapsed=None)
    if record.lease_s is not None and _opens_without(facts_since(situation, record.node, record.at)):
        record = replace(record, lease_s=None, lapsed=None)
    if record.lapsed is None and _is_over(situation, record):
        return replace(record, lapsed=situation.snapshot.now)
    return record


def _opens_since(situation: Situation, node: str, at: Moment) -> bool:
    facts = facts_since(situation, node, at)
    return answers_clients(situation, node) or (facts is not None and _says_open(facts))


def lapsed(facts: NodeFacts | None) -> bool:
    """Whether a helper says that the lease of what was open has run out."""
    return facts is not None and opens(facts.ports) and facts.lease_s is not None and facts.lease_left_s == 0


def _says_open(facts: NodeFacts) -> bool:
    """Whether a helper says that clients may find it open, as far as it can tell."""
    return facts.forced or facts.applied is False or (opens(facts.ports) and not lapsed(facts))


def _opens_without(facts: NodeFacts | None) -> bool:
    """Whether a helper says that what is open there may be so under no lease."""
    if facts is None:
        return False
    return facts.forced or facts.applied is False or (opens(facts.ports) and facts.lease_s is None)


# renewing


def _keepers(situation: Situation, node: str) -> list[ObserverView]:
    """The configured observers that tell of the node's lease: the daemon beside it."""
    configured = [observer.name for observer in situation.snapshot.policy.observers]
    found = []
    for view in situation.snapshot.observers:
        lease = view.report.lease if view.report is not None else None
        if view.name in configured and lease is not None and lease.node == node:
            found.append(view)
    return found


def unattended(situation: Situation, node: str) -> str:
    """Why nobody would renew a node's lease, '' where somebody would or there is none."""
    if situation.snapshot.policy.rules.lease_s is None:
        return ""
    keepers = _keepers(situation, node)
    if not keepers:
        return "has no daemon beside it that tells of its lease: nobody would renew that"
    said = [unheard(view, situation.snapshot) for view in keepers]
    if not all(said):
        return ""
    return f"has a daemon beside it that is not heard ({said[0]}): nobody would renew its lease"


def unattended_by_ours(situation: Situation, node: str) -> str:
    """The same, where a daemon with another configuration does not count: it may renew no lease of ours."""
    if alone := unattended(situation, node):
        return alone
    found = [view for view in _keepers(situation, node) if not unheard(view, situation.snapshot)]
    strange = [view.name for view in found if _is_configured_otherwise(situation, view)]
    if not strange or len(strange) < len(found):
        return ""
    return f"has a daemon beside it ({strange[0]}) with another configuration: nobody would renew its lease"


def _is_configured_otherwise(situation: Situation, view: ObserverView) -> bool:
    """Without the store it may be renewed by the promises of others than those who may lead by ours."""
    digest = situation.snapshot.policy.digest
    return view.report is not None and view.report.config_digest != digest


def _quiet_s(view: ObserverView) -> float:
    """For how long a daemon has renewed nothing for certain."""
    report = view.report
    if report is None or report.lease is None or report.lease.renewing or report.tilted:
        return view.still_s
    return view.still_s + report.lease.idle_s


# over


@dataclass(frozen=True, slots=True)
class Remaining:
    """What is to be said of a lease; it is over in `left_s`, as far as anybody knows (None: nobody does).
    `in_vain` is whether to wait for it is in vain."""

    said: str
    left_s: float | None = None
    in_vain: bool = False


def remaining(situation: Situation, node: str) -> Remaining:
    """How long what was opened on a node under a lease may be open yet."""
    record, rules = situation.state.ports_of(node), situation.snapshot.policy.rules
    if record is None or record.lease_s is None or record.opened is None or rules.lease_s is None:
        return Remaining("its client ports may be open without one", in_vain=True)
    if not Scope.USERS.covers(rules.fence_scope):
        return Remaining(f"it stops users only, and `fence_scope` is {rules.fence_scope}", in_vain=True)
    if record.lapsed is not None:
        return Remaining("it has run out", in_vain=True)
    keepers = _keepers(situation, node)
    if not keepers:
        return Remaining("no daemon beside it has ever told of it", in_vain=True)
    if strange := [view.name for view in keepers if _is_configured_otherwise(situation, view)]:
        said = f"{strange[0]}, which renews it, has another configuration: who promises to it is not known"
        return Remaining(said, in_vain=True)
    if not _is_revoked(situation.snapshot.state, node):
        return Remaining("it is being revoked")
    over_s = lease_over_s(max(record.lease_s, rules.lease_s))
    revoked_s = _revoked_s(situation, node)
    facts = situation.sight.nodes[node].facts
    if answers_clients(situation, node) or (facts is not None and _says_open(facts)):
        said = f"revoked {revoked_s:.0f} s ago, and its client ports are open"
        return Remaining(said, in_vain=revoked_s >= over_s)
    left_s = max(over_s - min(map(_quiet_s, keepers)), _opened_s(situation, record))
    if revoked_s >= over_s and any(_renews(situation, view) for view in keepers):
        return Remaining(f"renewals go on, {revoked_s:.0f} s after it was revoked", left_s, in_vain=True)
    return Remaining(f"runs out in {max(0.0, left_s):.0f} s", left_s)


def _opened_s(situation: Situation, record: PortsRecord) -> float:
    """For how long the lease may last yet that the order to open gave, without a renewal."""
    if record.opened is None or record.lease_s is None:
        return float("inf")
    return record.late_s + _LASTS * record.lease_s - record.opened.age_s(situation.snapshot.now)


def _is_over(situation: Situation, record: PortsRecord) -> bool:
    if record.closed or record.lease_s is None:
        return False
    left_s = remaining(situation, record.node).left_s
    return left_s is not None and left_s <= 0.0


def _is_revoked(state: State, node: str) -> bool:
    """Whether a node's ports are to be closed, as it was recorded before anything of the situation was
    seen."""
    records = state.phases_of(node)
    return bool(records) and all(EFFECTS[record.phase].ports is PortKind.CLOSED for record in records)


def _revoked_s(situation: Situation, node: str) -> float:
    """How long ago that was recorded, to know whom to wait for; nothing is closed by it."""
    now = situation.snapshot.now
    return min(record.since.age_s(now) for record in situation.snapshot.state.phases_of(node))


def _renews(situation: Situation, view: ObserverView) -> bool:
    lease = view.report.lease if view.report is not None else None
    return lease is not None and lease.renewing and not unheard(view, situation.snapshot)
