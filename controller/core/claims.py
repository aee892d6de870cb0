"""Claims: before anything else, our token goes to every target and helper.

From then on what an earlier controller left in the network is void there. Where old orders cannot be refused
they are waited for: each was recorded with its expiry. Helpers that do not answer hold nobody up; in a
cluster they hold what needs them (`cluster.candidates`, the gate `obeyed`).

While automation only observes and nobody has asked for anything, two things are claimed: the helper of who
serves and has closed by itself, so that it can be opened again; and a target that was written to as somebody
had asked, where that was given up before it was answered.
"""

from collections.abc import Sequence

from mailward.controller.core.cluster import ladder
from mailward.controller.core.draft import Draft
from mailward.controller.core.expiry import earlier_orders_expired, may_still_arrive
from mailward.controller.core.operations import claim_is_due_again, may_retry, targets_of
from mailward.controller.core.outcomes import believed_stale
from mailward.model.orders import Action, ClaimHelper, ClaimTarget, OrderPorts
from mailward.model.policy import Node
from mailward.model.state import Attempt, Operation, TargetRecord


def claim(draft: Draft) -> None:
    """Order the claims that are due."""
    policy, state = draft.policy, draft.state
    targets, nodes = _to_be_claimed(draft)
    due: list[tuple[Action, Attempt | None]] = []
    expired = earlier_orders_expired(state, draft.now, policy.rules)
    for target in targets:
        record = state.target(target)
        if target in policy.unguarded and not expired:
            continue  # what an earlier leader had begun may still arrive there, and overwrite ours
        if may_still_arrive(state, target, draft.now, policy.rules):
            continue
        if not record.claimed_in(state.epoch):
            due.append((ClaimTarget(target, record.sent), record.claim))
    ordered = [order.action.node for order in state.orders if isinstance(order.action, OrderPorts)]
    for node in nodes:
        helper = state.helper(node.name)
        if draft.sight.nodes[node.name].facts is None:
            continue  # what it remembers must be known before it is overwritten
        if node.name in ordered:
            continue  # the order carries a token of its own; a claim could overtake and void it
        if node.fenced and not helper.claimed_in(state.epoch):
            due.append((ClaimHelper(node.name), helper.claim))
    for action, attempt in due:
        if believed_stale(attempt):
            continue
        if _may_be_tried(draft, state.operation, action, attempt):
            draft.order(action)


def _to_be_claimed(draft: Draft) -> tuple[Sequence[str], Sequence[Node]]:
    """The targets, and the nodes whose helpers."""
    policy = draft.policy
    if not draft.situation.only_watches:
        return policy.targets, policy.nodes
    closed = ladder.serves_and_is_closed(draft.situation)
    targets = [target for target in policy.targets if may_come_late(draft.state.target(target))]
    return targets, [node for node in policy.nodes if node.name == closed]


def may_come_late(record: TargetRecord) -> bool:
    """Whether an update that was given up may still arrive there: a claim that overtakes it makes it void."""
    return record.published is None and record.token is not None and bool(record.sent.unheard)


def _may_be_tried(draft: Draft, operation: Operation | None, action: Action, attempt: Attempt | None) -> bool:
    if attempt is None:
        return True
    if isinstance(action, ClaimTarget) and operation is not None and attempt.result is not None:
        wanted = action.target in targets_of(draft.policy, operation)
        if wanted and claim_is_due_again(operation, attempt, draft.now):
            return True
    return may_retry(attempt, attempt.last.age_s(draft.now), draft.policy)
