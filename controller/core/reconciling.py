"""Reconciling: what is not as recorded is made so again, when nothing else is to be done.

Effects that could not be confirmed when they were due, ports that a reboot or a person changed, a name server
that came back with an older zone.
"""

from mailward.controller.core import doubts
from mailward.controller.core.cases import Situation
from mailward.controller.core.closing import left_open
from mailward.controller.core.draft import Draft
from mailward.controller.core.phases import desired_rrsets, port_map
from mailward.controller.core.planning import operation_of
from mailward.model.fencing import OPEN, FenceOutcome
from mailward.model.policy import Automation, Node
from mailward.model.state import Cause, Ending, Kind, Phase


def reconcile(draft: Draft) -> None:
    """Repeat effects that could not be confirmed when they were due, one node at a time."""
    if draft.state.operation is not None:
        return
    situation = draft.situation
    node = _longest_unsettled(draft)
    targets = _targets_unsettled(situation)
    if not (node or targets) or not _may_reconcile(draft, node):
        return
    names = [e.name for e in draft.policy.endpoints]
    if doubts.nobody_to_leave_it_to(situation, Kind.RECONCILE, names):
        return
    why = "; ".join(
        [*([f"client ports of {node} are not as recorded"] if node else []),
         *(f"{target} is not known to hold what is recorded" for target in targets)]
    )  # fmt: skip
    draft.start(operation_of(draft, Kind.RECONCILE, node, names, Cause.NONE, why, 0, None))


def _may_reconcile(draft: Draft, node: str) -> bool:
    """At once, unless the last one failed, or settled this very node for a moment only."""
    pause = draft.snapshot.pause
    if pause is not None and pause.in_force(draft.now):
        return False
    last = draft.state.ended[-1] if draft.state.ended else None
    if last is None or last.operation.kind is not Kind.RECONCILE:
        return True
    settled = last.ending is Ending.DONE and not last.operation.notes
    if settled and (not node or last.operation.node != node):
        return True
    return last.at.age_s(draft.now) >= draft.policy.rules.retry_max_s


def _longest_unsettled(draft: Draft) -> str:
    """The node whose ports were touched longest ago: one that never settles holds up nobody, and neither does
    one that must stay open for now."""
    unsettled = []
    for node in draft.policy.nodes:
        if _ports_unsettled(draft, node) and not left_open(draft.situation, node.name):
            record = draft.state.ports_of(node.name)
            unsettled.append((-record.at.age_s(draft.now) if record else float("-inf"), node.name))
    return min(unsettled)[1] if unsettled else ""


def _ports_unsettled(draft: Draft, node: Node) -> bool:
    """Only where the helper answers: elsewhere there is nobody to tell."""
    facts, record = draft.sight.nodes[node.name].facts, draft.state.ports_of(node.name)
    if not node.fenced or facts is None or facts.forced:
        return False
    wanted = port_map(draft.policy, draft.state, node.name)
    if record is None:  # never ordered by this store: an earlier one may have closed them
        differ = any(facts.ports.get(service, OPEN) != port for service, port in wanted.items())
        away = any(Phase.IN_SERVICE is not r.phase for r in draft.state.phases_of(node.name))
        return away or (differ and draft.policy.automation is Automation.ACT)
    if record.fence is not FenceOutcome.CONFIRMED:
        return True
    if dict(record.ports) != wanted:
        return True
    return facts.applied is False and facts.token == draft.state.helper(node.name).claimed


def _targets_unsettled(situation: Situation) -> list[str]:
    """Of those that may be written to."""
    state, policy, found = situation.state, situation.snapshot.policy, []
    for target in policy.targets:
        record = state.target(target)
        if not record.claimed_in(state.epoch) or record.published == desired_rrsets(policy, state, target):
            continue
        if doubts.may_be_repeated(situation, target):
            found.append(target)
    return found
