"""Succession: how service moves from one node of a cluster to another, and never is at two (I4).

All endpoints of a node share one phase. The `source` is demoting from the first step on: its ports are to be
closed, and until every node but the one to be promoted is known to be stopped nothing is opened. Nobody whom
clients may reach is stopped while nobody could take over (I8). DNS changes when the new one answers from
outside (I2).

What fails before that is undone by the same steps with another `to`: one that was opened and does not serve
is stopped in its turn, whether or not anybody can take over yet, and the next best is promoted. So a
switchover rolls back: the target is stopped before the source is opened again, and nobody but these two is
ever promoted by it.

A failover waits as long as it must for a fence, a candidate, or a person's word; each is said, with what to
type. It is given back when the source serves again and nothing of it was stopped for certain; then it does
not count for `failovers_per_hour`.

Each step is a function that says what it waits for, '' where it has gone on. `stopping` is the first of
them, `moving` has the others, `choosing` says who is to be promoted, `course` what any of them may make of
the operation.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from mailward.controller.core import bounds, operations
from mailward.controller.core.cluster import candidates, ladder
from mailward.controller.core.cluster.succession import course, moving, stopping
from mailward.controller.core.draft import Draft
from mailward.controller.core.phases import order_of_ports
from mailward.model.fencing import Hook
from mailward.model.orders import Action, Publish
from mailward.model.policy import Deployment, Policy
from mailward.model.state import Cause, Ending, Kind, Operation, Phase, Request, State, Step, Vouched

_MOST_STEPS = 14


def runs(policy: Policy, operation: Operation | None) -> bool:
    """Whether an operation is one of these."""
    kinds = (Kind.FAILOVER, Kind.SWITCHOVER)
    return policy.deployment is Deployment.CLUSTER and operation is not None and operation.kind in kinds


def advance(draft: Draft) -> None:
    """Take the running operation as far as its evidence goes."""
    for _ in range(_MOST_STEPS):
        operation = draft.state.operation
        if operation is None or operation.node not in ("", *draft.policy.node_by_name):
            if operation is not None:
                draft.end(Ending.ROLLED_BACK, "the configuration no longer has its node")
            return
        if operation.to not in ("", *draft.policy.node_by_name):
            draft.state = replace(draft.state, operation=replace(operation, to="", step=Step.FENCE))
        stopping.count(draft)
        phases = draft.state.phases
        draft.waits_for = _STEPS[draft.running().step](draft)
        if draft.waits_for or draft.state.phases != phases:
            return  # each phase is recorded before anything is made of it


def wanted(draft: Draft) -> tuple[Action, ...]:
    """What may be ordered at the running step now, not counting what is out or done."""
    operation, policy, state = draft.running(), draft.policy, draft.state
    if operation.step is Step.FENCE:
        return stopping.rungs(draft)
    if operation.step in (Step.RESCUE, Step.CATCH_UP):
        views = draft.sight.nodes
        nodes = [n.name for n in policy.nodes if n.replicates and views[n.name].facts is not None]
        return operations.kicks(draft.situation, nodes, at_last=operation.step is Step.RESCUE)
    if operation.step is Step.DEMOTE:
        return operations.demotion(policy, state, operation.node)
    if operation.step is Step.PROMOTE and not ladder.to_be_stopped(draft.situation, operation, operation.to):
        return (order_of_ports(policy, state, operation.to, Hook.PROMOTE),)
    if operation.step in (Step.PUBLISH, Step.VERIFY):
        closed = ladder.closed_by_itself(draft.situation, operation.to)
        serves = course.known_to_serve(draft, operation.to) and not closed
        found = operations.wanted(draft.situation, operation)
        return tuple(action for action in found if serves or not isinstance(action, Publish))
    return ()


def begin(
    draft: Draft, kind: Kind, source: str, cause: Cause, reason: str, *, to: str = "", row: int = 0,
    request: str | None = None, force: bool = False, failed: tuple[str, ...] = (),
) -> None:  # fmt: skip
    """Start to move service away from `source` ('' where nobody serves)."""
    names = [endpoint.name for endpoint in draft.policy.endpoints]
    operation = operations.operation_of(draft, kind, source, names, cause, reason, row, request, Step.FENCE)
    draft.start(replace(operation, to=to, failed=failed))
    if force and source:
        _accept(draft, to)
    course.put(draft, source, Phase.DEMOTING, cause, reason)


def _accept(draft: Draft, to: str = "") -> None:
    """A person insists: what is lacking now is accepted, of the one who would be promoted now."""
    operation = draft.running()
    accepts = candidates.acceptable(draft.situation, operation.node, operation, to)
    if accepts is not None:
        draft.state = replace(draft.state, operation=replace(operation, accepts=accepts))
        draft.note(f"by hand: {accepted(draft)}")


def accepted(draft: Draft) -> str:
    """What a person has accepted of the running operation, in words; '' where that is nothing."""
    operation = draft.running()
    accepts = operation.accepts
    if accepts is None:
        return ""
    lacks = candidates.amount(accepts.seconds)
    return f"{accepts.node} may be promoted though it may lack {lacks} of the mail of {operation.node}"


def insist(draft: Draft, request: Request) -> bool:
    """Go on with the running failover of a node, as a person asks, also out of a switchover; with `force`
    whatever mail may be missing. False where none runs."""
    operation = draft.state.operation
    if operation is None or not runs(draft.policy, operation) or course.gives_way(operation):
        return False
    if operation.node != request.node:
        return False
    if operation.kind is Kind.SWITCHOVER:
        course.become_failover(draft, request)
    if request.force:
        _accept(draft)
    return True


def waits_for_stop_of(draft: Draft, node: str) -> bool:
    """Whether the running operation waits for a node to be stopped."""
    operation = draft.running()
    return node in ladder.to_be_stopped(draft.situation, operation, operation.to)


def vouch(draft: Draft, node: str, who: str) -> None:
    """A person says that a node is stopped: it counts for this operation, and is kept with it."""
    draft.note(f"{who} vouches that {node} is stopped")
    operation = draft.running()
    facts = draft.sight.nodes[node].facts
    word = Vouched(node, who[: bounds.DETAIL], draft.now, facts.boot_id if facts is not None else "")
    others = tuple(each for each in operation.vouched if each.node != node)
    draft.state = replace(draft.state, operation=replace(operation, vouched=(*others, word)))


def several_serve(draft: Draft) -> str:
    """Why nothing is done in a cluster of which several nodes are recorded to serve, as a hybrid's store has
    it."""
    nodes = sorted({r.node for r in draft.state.phases if r.phase is Phase.IN_SERVICE})
    if draft.policy.deployment is not Deployment.CLUSTER or len(nodes) < 2:
        return ""
    say = "stop mailward, move its store away, and say which one does: mailward state init --active NODE"
    return f"{', '.join(nodes)} are recorded to serve at once, in a cluster: {say}"


def active(state: State) -> str:
    """The node in service, '' where there is none."""
    return next((r.node for r in state.phases if r.phase is Phase.IN_SERVICE), "")


_STEPS: Mapping[Step, Callable[[Draft], str]] = {
    Step.FENCE: stopping.fence,
    Step.RESCUE: moving.rescue,
    Step.CATCH_UP: moving.catch_up,
    Step.DEMOTE: moving.demote,
    Step.PROMOTE: moving.promote,
    Step.CHECK: moving.check,
    Step.PUBLISH: moving.publish,
    Step.VERIFY: moving.verify,
}
