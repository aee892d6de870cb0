"""Reconciling: what is not as recorded is made so again, when nothing else is to be done.

Effects that could not be confirmed when they were due, ports that a reboot or a person changed, a name server
that came back with an older zone.
"""

from mailward.controller.core import doubts
from mailward.controller.core.cases import Situation, facts_since
from mailward.controller.core.closing import left_open
from mailward.controller.core.cluster import ladder, leases
from mailward.controller.core.draft import Draft
from mailward.controller.core.operations import operation_of
from mailward.controller.core.phases import desired_rrsets, order_of_ports, port_map
from mailward.controller.core.planning import roll_back
from mailward.model.fencing import OPEN, FenceOutcome, NodeFacts, Scope, opens
from mailward.model.policy import Automation, Deployment, Node
from mailward.model.state import Cause, Ending, Kind, Phase


def reconcile(draft: Draft) -> None:
    """Repeat effects that could not be confirmed when they were due, one node at a time."""
    running, closed = draft.state.operation, ladder.serves_and_is_closed(draft.situation)
    if running is not None:
        if closed and running.kind in (Kind.READMIT, Kind.DRAIN):
            roll_back(draft, f"{closed} has closed its ports since, and is opened first")
        return
    situation = draft.situation
    node = _longest_unsettled(draft)
    targets = _targets_unsettled(situation)
    if not (node or targets) or not _may_reconcile(draft, node):
        return
    names = [e.name for e in draft.policy.endpoints]
    opens_one = bool(node) and doubts.closes_nothing(situation, node)
    if not opens_one and doubts.nobody_to_leave_it_to(situation, Kind.RECONCILE, names):
        return
    why = "; ".join(
        [*([f"client ports of {node} are not as recorded"] if node else []),
         *(f"{target} is not known to hold what is recorded" for target in targets)]
    )  # fmt: skip
    draft.start(operation_of(draft, Kind.RECONCILE, node, names, Cause.NONE, why, 0, None))


def open_again(draft: Draft) -> None:
    """Before anybody takes over: who serves and has closed by itself, as where nobody could act for long.
    Where that has just been tried it rests (`_may_reconcile`), and a takeover is not held up by it."""
    node = ladder.serves_and_is_closed(draft.situation)
    if node and draft.state.operation is None and _longest_unsettled(draft) == node:
        reconcile(draft)


def _may_reconcile(draft: Draft, node: str) -> bool:
    """At once, unless the last one failed, or settled this very node for a moment only."""
    pause = draft.snapshot.pause
    paused = pause is not None and pause.in_force(draft.now)
    if paused and not _even_in_a_pause(draft, node):
        return False
    last = draft.state.ended[-1] if draft.state.ended else None
    if last is None or last.operation.kind is not Kind.RECONCILE:
        return True
    settled = last.ending is Ending.DONE and not last.operation.notes
    if settled and (not node or last.operation.node != node):
        return True
    return last.at.age_s(draft.now) >= draft.policy.rules.retry_max_s


def _even_in_a_pause(draft: Draft, name: str) -> bool:
    """In a cluster who serves is opened, and who does not is closed (I4), whatever a person is about."""
    if not name or draft.policy.deployment is not Deployment.CLUSTER:
        return False
    closes = not opens(port_map(draft.policy, draft.state, name))
    return closes or name == ladder.serves_and_is_closed(draft.situation)


def _longest_unsettled(draft: Draft) -> str:
    """Who is to be opened: nobody is closed before that (I8). Else the one whose ports were touched longest
    ago: one that never settles holds up none of its kind, and one that must stay open for now nobody."""
    unsettled = []
    for node in draft.policy.nodes:
        if _ports_unsettled(draft, node) and not left_open(draft.situation, node.name):
            record = draft.state.ports_of(node.name)
            closes = not doubts.closes_nothing(draft.situation, node.name)
            if _opens_in_a_cluster(draft, node) and _others_may_be_open(draft, node):
                continue
            unsettled.append((closes, -record.at.age_s(draft.now) if record else float("-inf"), node.name))
    return min(unsettled)[2] if unsettled else ""


def _opens_in_a_cluster(draft: Draft, node: Node) -> bool:
    if draft.policy.deployment is not Deployment.CLUSTER:
        return False
    return opens(port_map(draft.policy, draft.state, node.name))


def _others_may_be_open(draft: Draft, node: Node) -> bool:
    """I4: who serves is opened when the others are known to be stopped; these are closed first. While
    automation only observes the others are nobody's business."""
    acts = draft.policy.automation is Automation.ACT
    return acts and bool(ladder.to_be_stopped(draft.situation, None, node.name))


def _ports_unsettled(draft: Draft, node: Node) -> bool:
    """Only where the helper answers: elsewhere there is nobody to tell."""
    facts, record = draft.sight.nodes[node.name].facts, draft.state.ports_of(node.name)
    if not node.fenced or facts is None or facts.forced or _left_without_a_lease(draft, node, facts):
        return False
    wanted = port_map(draft.policy, draft.state, node.name)
    if record is None:  # never ordered by this store: an earlier one may have closed them
        differ = any(facts.ports.get(service, OPEN) != port for service, port in wanted.items())
        stays = (Phase.IN_SERVICE, Phase.STANDBY)  # a standby is closed when automation acts, and not before
        away = any(r.phase not in stays for r in draft.state.phases_of(node.name))
        if away and doubts.nobody_else_serves(draft.situation, node.name):
            return False
        lapsed = leases.lapsed(facts) and not leases.unattended(draft.situation, node.name)
        held = (facts.applied is False or lapsed) and facts.token is not None  # since it booted, or by itself
        closes = draft.policy.deployment is Deployment.CLUSTER and not _opens_in_a_cluster(draft, node)
        acts = draft.policy.automation is Automation.ACT
        differ = differ or _leased_otherwise(draft, node, facts)
        return away or held or (acts and (differ or closes))
    if record.fence is not FenceOutcome.CONFIRMED:
        return True
    if order_of_ports(draft.policy, draft.state, node.name).terms.stop and record.scope is Scope.USERS:
        return True  # it was not to write either when that was ordered, as it is now
    if dict(record.ports) != wanted:
        return True
    if draft.policy.deployment is Deployment.CLUSTER and ladder.unreadable(draft.situation, node.name):
        return True
    if facts.token != draft.state.helper(node.name).claimed:
        return False
    said = facts_since(draft.situation, node.name, record.at)
    return facts.applied is False or (said is not None and _leased_otherwise(draft, node, said))


def _left_without_a_lease(draft: Draft, node: Node, facts: NodeFacts) -> bool:
    """Whether a node is open, as it should be, without a lease, and nobody would renew one yet: under it the
    node would close. So the daemons may be restarted with `lease_s` in any order."""
    if draft.policy.deployment is not Deployment.CLUSTER or not _opens_in_a_cluster(draft, node):
        return False
    is_open = opens(facts.ports) and facts.applied is not False and facts.lease_s is None
    return is_open and bool(leases.unattended_by_ours(draft.situation, node.name))


def _leased_otherwise(draft: Draft, node: Node, facts: NodeFacts) -> bool:
    """Whether what is open there is so under another lease than it should be, or under one that has run out
    and would be renewed."""
    wanted = order_of_ports(draft.policy, draft.state, node.name)
    if draft.policy.deployment is not Deployment.CLUSTER or not (opens(wanted.ports) and opens(facts.ports)):
        return False
    if facts.lease_s != wanted.terms.lease_s:
        return True
    return leases.lapsed(facts) and not leases.unattended(draft.situation, node.name)


def _targets_unsettled(situation: Situation) -> list[str]:
    """Of those that may be written to."""
    state, policy, found = situation.state, situation.snapshot.policy, []
    for target in policy.targets:
        record = state.target(target)
        wanted = desired_rrsets(policy, state, target)
        if not wanted or not record.claimed_in(state.epoch) or record.published == wanted:
            continue
        if doubts.may_be_repeated(situation, target):
            found.append(target)
    return found
