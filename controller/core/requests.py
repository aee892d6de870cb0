"""Requests by people: taken up, refused with the reason, or kept waiting for a moment.

A request waits only for what passes by itself (another operation, a claim, ports being closed), and not
longer than `PATIENCE_S`; for what is merely not known yet (a node not probed since its ports were closed, a
daemon just started) not longer than `UNKNOWN_PATIENCE_S`. While its ports are just being closed, nothing else
that is seen of a node counts.
"""

from mailward.controller.core import bounds, gates, planning
from mailward.controller.core.cases import Case, Situation
from mailward.controller.core.draft import Draft
from mailward.model.decision import Answered, Finding
from mailward.model.state import Cause, Kind, Operation, Phase, PhaseRecord, Request, RequestKind, Step

PATIENCE_S = 60.0
UNKNOWN_PATIENCE_S = 10.0
_PASSING = ("one-operation", "claimed", "fence")
_FROM = {
    RequestKind.FAILOVER: (
        Phase.IN_SERVICE,
        Phase.DRAINING,
        Phase.PROMOTING,
        Phase.REJOINING,
        Phase.OUT,
    ),
    RequestKind.DRAIN: (Phase.IN_SERVICE,),
    RequestKind.READMIT: (Phase.OUT, Phase.REJOINING),
}
_GATES = {
    RequestKind.FAILOVER: gates.WITHDRAW_BY_HAND,
    RequestKind.DRAIN: gates.WITHDRAW_BY_HAND,
    RequestKind.READMIT: gates.READMIT_BY_HAND,
}


def take_up(draft: Draft) -> None:
    """Look at every unanswered request, oldest first; one that has ended an operation is the last for now."""
    for request in _unanswered(draft):
        _consider(draft, request)
        if draft.ended_one:
            return


def refuse_all(draft: Draft, why: str) -> None:
    """Nobody waits for an answer in vain."""
    for request in _unanswered(draft):
        draft.answer(request, False, why)


def _unanswered(draft: Draft) -> list[Request]:
    """The oldest ones, never so many that their answers push each other out."""
    answered = {answer.request for answer in draft.state.answers}
    waiting = [request for request in draft.snapshot.requests if request.id not in answered]
    return sorted(waiting, key=lambda r: (r.at.wall_s, r.id))[: bounds.ANSWERS // 2]


def _consider(draft: Draft, request: Request) -> None:
    node = draft.policy.node_by_name.get(request.node)
    if node is None:
        known = ", ".join(draft.policy.node_by_name)
        draft.answer(request, False, f"no node is named {request.node!r}; there are: {known}")
        return
    cases = _cases(draft.situation, request)
    if not cases:
        phases = ", ".join(f"{r.phase} for {r.endpoint}" for r in draft.state.phases_of(node.name))
        draft.answer(request, False, f"nothing to do: {node.name} is {phases or 'behind no endpoint'}")
        return
    held = _held(cases, request)
    if held:
        _refuse_or_wait(draft, request, held)
        return
    _begin(draft, cases, request)


def waits_for(situation: Situation, request: Request) -> str:
    """What holds a request that nobody has answered yet, '' where nothing does; who follows sees it, too."""
    return _reasons(_held(_cases(situation, request), request))


def _cases(situation: Situation, request: Request) -> list[Case]:
    return [
        Case(situation, request.node, endpoint, request.force)
        for endpoint in situation.snapshot.policy.endpoints_of(request.node)
        if _may_begin(request, situation.state.phase_of(request.node, endpoint.name))
    ]


def _held(cases: list[Case], request: Request) -> list[Finding]:
    found = [(case, f) for case in cases for f in planning.held_by(case, _GATES[request.kind])]
    return [
        f
        for case, f in found
        if not (f.gate == "one-operation" and _gives_way(case.state.operation, request))
    ]


def _reasons(held: list[Finding]) -> str:
    return "; ".join(dict.fromkeys(f"{f.gate}: {f.reason}" for f in held))


def _may_begin(request: Request, record: PhaseRecord | None) -> bool:
    """A failover by hand also makes an operator's word of what automation did: it stays out."""
    if record is None or record.phase not in _FROM[request.kind]:
        return False
    said = record.phase is Phase.OUT and record.cause is Cause.OPERATOR
    return request.kind is not RequestKind.FAILOVER or not said


def _gives_way(operation: Operation | None, request: Request) -> bool:
    """A failover by hand pre-empts planned work; a readmit by hand takes over an automatic one, and one that
    insists takes over one that does not. Asked for again, a readmit by hand does not begin anew."""
    if operation is None:
        return True
    if request.kind is RequestKind.FAILOVER:
        return planning.preemptible(operation)
    if request.kind is RequestKind.READMIT and operation.kind is Kind.READMIT:
        more = operation.request is None or (request.force and not operation.force)
        return more and operation.node == request.node and operation.step is Step.CATCH_UP
    return operation.kind is Kind.RECONCILE


def _refuse_or_wait(draft: Draft, request: Request, held: list[Finding]) -> None:
    waited = request.at.age_s(draft.now)
    final = [] if _just_closing(held) else [f for f in held if f.gate not in _PASSING]
    unknown = all(f.answer is Answered.UNKNOWN for f in final)
    if unknown and waited < (UNKNOWN_PATIENCE_S if final else PATIENCE_S):
        return
    commands = [f.command for f in held if f.command]
    draft.answer(request, False, _reasons(held) + (f". Try: {commands[0]}" if commands else ""))


def _just_closing(held: list[Finding]) -> bool:
    gates_held = {f.gate for f in held}
    return "fence" in gates_held and "helper" not in gates_held


def _begin(draft: Draft, cases: list[Case], request: Request) -> None:
    reason = f"{request.by}: {request.reason}" if request.reason else request.by
    if draft.state.operation is not None:
        planning.roll_back(draft, f"{request.kind} asked for by {request.by}")
    if request.kind is RequestKind.FAILOVER:
        planning.withdraw(draft, cases, Cause.OPERATOR, request.id, reason)
    elif request.kind is RequestKind.DRAIN:
        planning.drain(draft, cases, request.id, reason, request.force)
    else:
        planning.readmit(draft, cases, request.id, reason, request.force)
    operation = draft.running()
    draft.answer(request, True, f"{operation.kind} {operation.id} started", operation.id)
