"""Closing in a hybrid: when a node's client ports may be closed, by what the name servers are known to name
(I2). A cluster has none of it: there ports come first, and DNS after the promotion.

What a target holds is known when it has said so. After an update that nobody has heard of it may hold that
one or any before it; then only what all of these have in common is known. While some target is not known to
name another node which serves and is well, clients may be left with this one:

- One that fails serves them nothing. It is left open for `PATIENCE_S`, and until the update has been tried
  again; then it is closed: a name server that takes nothing must not keep it open for ever.
- One that does not fail, or of which nobody knows, stays open. The operation goes on to publish without
  the fence, or ends in a human's hands, and the ports follow when the target has taken what is recorded.
- One on whose way out a target surely names another node already, as when it named both, waits for nothing.

And one that was let in a moment ago stays open until what was sent to put it in is void: a name server that
takes that late would name a node with closed ports.
"""

from mailward.controller.core.bounds import EXPIRY_MARGIN_S
from mailward.controller.core.cases import FAILING, WELL, Situation
from mailward.controller.core.phases import EFFECTS
from mailward.model.fencing import PortKind
from mailward.model.policy import Deployment, Endpoint
from mailward.model.state import Kind

PATIENCE_S = 10.0
"""How long a withdrawn node that fails waits for a target to name another. Most answer a second try."""


def left_open(situation: Situation, node: str, *, even_failing: bool = False) -> str:
    """Why what is recorded to be closed on a node must stay open, '' if it may be closed. What fails may
    always be, unless it is to be left open `even_failing`."""
    policy, state = situation.snapshot.policy, situation.state
    for endpoint in policy.endpoints_of(node) if policy.deployment is not Deployment.CLUSTER else ():
        record = state.phase_of(node, endpoint.name)
        if record is None or EFFECTS[record.phase].ports is not PortKind.CLOSED:
            continue
        if not even_failing and situation.judgements[node, endpoint.name].condition in FAILING:
            continue
        for target in endpoint.targets:
            if not _names_another(situation, endpoint, target, node):
                return f"{target} is not known to name another node that serves {endpoint.name}"
    return ""


def may_yet_be_put_in(situation: Situation, node: str) -> str:
    """Why a node that was just let in must stay open for now, '' if it need not. An update is void once a
    later one was taken, or when it expires: this never lasts longer than an order may take."""
    policy, state, now = situation.snapshot.policy, situation.state, situation.snapshot.now
    longest_s = policy.rules.order_timeout_s + EXPIRY_MARGIN_S
    for entry in state.ended:
        operation = entry.operation
        if operation.kind is not Kind.READMIT or operation.node != node or entry.at.age_s(now) > longest_s:
            continue
        for endpoint in policy.endpoints_of(node):
            record = state.phase_of(node, endpoint.name)
            if record is None or EFFECTS[record.phase].ports is not PortKind.CLOSED:
                continue
            unknown = [target for target in endpoint.targets if state.target(target).published is None]
            if unknown:
                return f"{unknown[0]} may yet take what was sent to put {node} into {endpoint.name}"
    return ""


def _names_another(situation: Situation, endpoint: Endpoint, target: str, node: str) -> bool:
    named = situation.state.target(target).surely_names(endpoint.name)
    nodes = situation.snapshot.policy.node_by_name
    return any(
        address in named
        for name in situation.behind[endpoint.name].serving
        if name != node and situation.judgements[name, endpoint.name].condition in WELL
        for address in nodes[name].addresses
    )
