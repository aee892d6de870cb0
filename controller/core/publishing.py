"""Publishing: what an operation writes to a name server beyond its own endpoints.

A publication says everything of its target, also of endpoints that the operation is not about. What was once
decided of these may not have been published yet, and may do harm by now.
"""

from collections.abc import Iterable
from dataclasses import replace

from mailward.controller.core.cases import Judgements
from mailward.controller.core.draft import Draft
from mailward.controller.core.phases import whole_rrsets
from mailward.controller.core.planning import may_be_written, nobody_to_leave_it_to
from mailward.model.orders import Action, Publish, Verify
from mailward.model.state import Kind, Operation


def in_scope(
    draft: Draft, judgements: Judgements, operation: Operation, actions: Iterable[Action]
) -> tuple[Action, ...]:
    """The actions of a step without those that a mere repetition must leave out."""
    return tuple(
        action
        for action in actions
        if operation.kind is not Kind.RECONCILE
        or not isinstance(action, Publish | Verify)
        or may_be_written(draft, judgements, action.target)
    )


def spared(draft: Draft, judgements: Judgements, operation: Operation, action: Publish) -> Publish:
    """The publication, with every configured address for endpoints which are not the operation's and which
    nobody in service is known to serve, while somebody who is away may (I2)."""
    others = [
        endpoint
        for endpoint in draft.policy.endpoints
        if endpoint.name not in operation.endpoints and action.target in endpoint.targets
    ]
    lost = [e for e in others if nobody_to_leave_it_to(draft, judgements, Kind.RECONCILE, [e.name])]
    if not lost:
        return action
    names = {f"{endpoint.name}." for endpoint in lost}
    kept = [rrset for rrset in action.rrsets if rrset.name not in names]
    whole = [rrset for endpoint in lost for rrset in whole_rrsets(draft.policy, endpoint)]
    return replace(action, rrsets=tuple(sorted([*kept, *whole])))
