"""Requests by people: taken up, refused with the reason, or kept waiting for a moment.

A request waits only for what passes by itself (another operation, a claim, ports being closed), and not
longer than `PATIENCE_S`; for what is merely not known yet (a node not probed since its ports were closed, a
daemon just started) not longer than `UNKNOWN_PATIENCE_S`. While its ports are just being closed, nothing else
that is seen of a node counts.

One for later (`later`) holds up nobody: until its time it is only there to be withdrawn. What is wrong
with it already, and does not mend by itself, is said when it is asked for (`preflight`); at its time all is
looked at anew.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from mailward.controller.core import bounds, gates, later, planning
from mailward.controller.core.cases import Case, Situation
from mailward.controller.core.cluster import candidates, succession, takeover
from mailward.controller.core.cluster.succession import course
from mailward.controller.core.draft import Draft
from mailward.model.decision import Answered, Finding
from mailward.model.policy import Deployment
from mailward.model.state import Cause, Kind, Phase, PhaseRecord, Request, RequestKind, Step

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
_FROM_IN_A_CLUSTER = {
    RequestKind.FAILOVER: (Phase.IN_SERVICE,),
    RequestKind.DRAIN: (Phase.STANDBY,),
    RequestKind.READMIT: (Phase.OUT, Phase.REJOINING),
}
_AT_ONCE = (RequestKind.VOUCH, RequestKind.PROVEN, RequestKind.CANCEL)
_NOT_A_CLUSTER = "in a {} all serve: mailward drain NODE, mailward readmit NODE"


def take_up(draft: Draft) -> None:
    """Look at every unanswered request that is due, oldest first, once what is withdrawn is gone; one that
    has ended an operation is the last for now."""
    _cancel(draft)
    for request in _unanswered(draft, lambda each: not later.waits(each, draft.now)):
        _consider(draft, request)
        if draft.ended_one:
            return


def refuse_all(draft: Draft, why: str) -> None:
    """Nobody waits for an answer in vain."""
    for request in _unanswered(draft):
        draft.answer(request, False, why)


def _unanswered(draft: Draft, wanted: Callable[[Request], bool] | None = None) -> list[Request]:
    """The oldest of those `wanted`, never so many that their answers push each other out; what withdraws
    another is looked at apart."""
    answered = {answer.request for answer in draft.state.answers}
    waiting = [request for request in draft.snapshot.requests if request.id not in answered]
    if wanted is not None:
        waiting = [each for each in waiting if each.kind is not RequestKind.CANCEL and wanted(each)]
    return sorted(waiting, key=lambda r: (r.at.wall_s, r.id))[: bounds.ANSWERS // 2]


def _cancel(draft: Draft) -> None:
    """What is withdrawn is not begun in the same breath. Each such word is answered with the other."""
    answered = {answer.request for answer in draft.state.answers}
    waiting = {each.id: each for each in draft.snapshot.requests if each.id not in answered}
    words = sorted(each.id for each in waiting.values() if each.kind is RequestKind.CANCEL)
    for word in words[: bounds.ANSWERS // 5]:
        request = waiting.pop(word)
        other = waiting.get(request.cancels)
        if other is None or other.kind is RequestKind.CANCEL:
            draft.answer(request, False, f"no request {request.cancels} waits (any more)")
        else:
            draft.answer(waiting.pop(other.id), False, f"withdrawn by {request.who}")
            draft.answer(request, True, f"the {other.kind} {other.id} is withdrawn")


def _consider(draft: Draft, request: Request) -> None:
    if too_late := later.missed(request, draft.now):
        draft.answer(request, False, too_late)
        return
    node = draft.policy.node_by_name.get(request.node)
    if node is None:
        known = ", ".join(draft.policy.node_by_name)
        draft.answer(request, False, f"no node is named {request.node!r}; there are: {known}")
        return
    if request.kind is RequestKind.VOUCH:
        _vouch(draft, request)
        return
    if request.kind is RequestKind.PROVEN:
        _note_proven(draft, request)
        return
    if request.kind is RequestKind.SWITCHOVER:
        _switch_over(draft, request)
        return
    if request.kind is RequestKind.FAILOVER and succession.insist(draft, request):
        operation = draft.running()
        said = f"{operation.kind} {operation.id} is under way{_accepted(draft)}"
        draft.answer(request, True, said, operation.id)
        return
    cases = _cases(draft.situation, request)
    if not cases:
        draft.answer(request, False, _rather(draft.situation, request) or _nothing_to_do(draft, node.name))
        return
    held = _held(cases, request)
    if held:
        _refuse_or_wait(draft, request, held)
        return
    _begin(draft, cases, request)


def _nothing_to_do(draft: Draft, node: str) -> str:
    phases = ", ".join(f"{r.phase} for {r.endpoint}" for r in draft.state.phases_of(node))
    return f"nothing to do: {node} is {phases or 'behind no endpoint'}"


def waits_for(situation: Situation, request: Request) -> str:
    """What holds a request that nobody has answered yet, '' where nothing does; who follows sees it, too."""
    if request.kind in _AT_ONCE or request.node not in situation.snapshot.policy.node_by_name:
        return ""
    if request.kind is RequestKind.SWITCHOVER:
        case = _served_by(situation, request)
        if case is None:
            return "nobody is in service" if request.due_wall_s is not None else ""
        if case.node == request.node:
            return f"nothing to do: {request.node} is in service"
        return _reasons(takeover.before_switchover(case, request.node))
    return _reasons(_held(_cases(situation, request), request))


def preflight(situation: Situation, request: Request) -> str:
    """What is wrong with a request for later, and does not mend by itself; '' where nothing is."""
    policy, node = situation.snapshot.policy, request.node
    if policy.deployment is not Deployment.CLUSTER:
        return _NOT_A_CLUSTER.format(policy.deployment)
    records = situation.state.phases_of(node)
    if any(record.phase is Phase.OUT and record.cause is Cause.OPERATOR for record in records):
        return f"{node} was taken out by hand. Try: mailward readmit {node}"
    if succession.active(situation.state) == node and not _leaves_before(situation, request):
        return f"nothing to do: {node} is in service, and nothing is planned before that"
    return ""


def _leaves_before(situation: Situation, request: Request) -> bool:
    """Whether somebody else is to serve by a request that is due before this one."""
    planned = [each for each in situation.snapshot.requests if each.due_wall_s is not None]
    return any(
        each.node != request.node and (each.due_wall_s or 0.0) < (request.due_wall_s or 0.0)
        for each in planned
    )


def _cases(situation: Situation, request: Request) -> list[Case]:
    return [
        Case(situation, request.node, endpoint, request.force)
        for endpoint in situation.snapshot.policy.endpoints_of(request.node)
        if _may_begin(situation, request, situation.state.phase_of(request.node, endpoint.name))
    ]


def _held(cases: list[Case], request: Request) -> list[Finding]:
    found = [(case, f) for case in cases for f in planning.held_by(case, _gates(case, request))]
    return [f for case, f in found if not (f.gate == "one-operation" and _gives_way(case, request))]


def _gates(case: Case, request: Request) -> Sequence[gates.Gate]:
    if request.kind is RequestKind.READMIT:
        return gates.READMIT_BY_HAND
    if request.kind is RequestKind.DRAIN and case.snapshot.policy.deployment is Deployment.CLUSTER:
        return takeover.STAND_DOWN
    return takeover.withdraw(case, by_hand=True)


def _reasons(held: Sequence[Finding]) -> str:
    return "; ".join(dict.fromkeys(f"{f.gate}: {f.reason}" for f in held))


def _may_begin(situation: Situation, request: Request, record: PhaseRecord | None) -> bool:
    """A failover by hand also makes an operator's word of what automation did: it stays out."""
    cluster = situation.snapshot.policy.deployment is Deployment.CLUSTER
    if record is None or record.phase not in (_FROM_IN_A_CLUSTER if cluster else _FROM)[request.kind]:
        return False
    said = record.phase is Phase.OUT and record.cause is Cause.OPERATOR
    return request.kind is not RequestKind.FAILOVER or not said


def _gives_way(case: Case, request: Request) -> bool:
    """A failover by hand pre-empts planned work; a readmit by hand takes over an automatic one, and one that
    insists takes over one that does not. Asked for again, a readmit by hand does not begin anew."""
    operation = case.state.operation
    if operation is None:
        return True
    if request.kind is RequestKind.FAILOVER:
        return planning.preemptible(case.snapshot.policy, operation)
    if request.kind is RequestKind.READMIT and operation.kind is Kind.READMIT:
        more = operation.request is None or (request.force and not operation.force)
        back = operation.step in (Step.DEMOTE, Step.CATCH_UP)
        return more and operation.node == request.node and back
    return operation.kind is Kind.RECONCILE


def _refuse_or_wait(draft: Draft, request: Request, held: Sequence[Finding]) -> None:
    waited = _waited_s(draft, request)
    final = [] if _just_closing(held) else [f for f in held if f.gate not in _PASSING]
    unknown = all(f.answer is Answered.UNKNOWN for f in final)
    if unknown and waited < (UNKNOWN_PATIENCE_S if final else PATIENCE_S):
        return
    commands = [f.command for f in held if f.command]
    draft.answer(request, False, _reasons(held) + (f". Try: {commands[0]}" if commands else ""))


def _waited_s(draft: Draft, request: Request) -> float:
    """Since it was asked for, or is due; who leads only since then has just begun to look."""
    if request.due_wall_s is None:
        return request.at.age_s(draft.now)
    led_s = draft.state.epoch_since.age_s(draft.now) if draft.state.epoch_since is not None else 0.0
    return min(later.overdue_s(request, draft.now), led_s)


def _just_closing(held: Sequence[Finding]) -> bool:
    gates_held = {f.gate for f in held}
    return "fence" in gates_held and "helper" not in gates_held


def _begin(draft: Draft, cases: list[Case], request: Request) -> None:
    reason = request.who
    _make_way(draft, f"{request.kind} asked for by {request.by}")
    if request.kind is RequestKind.FAILOVER:
        planning.withdraw(draft, cases, Cause.OPERATOR, request.id, reason)
    elif request.kind is RequestKind.DRAIN:
        planning.drain(draft, cases, request.id, reason, request.force)
    else:
        planning.readmit(draft, cases, request.id, reason, request.force)
    operation = draft.running()
    draft.answer(request, True, f"{operation.kind} {operation.id} started{_accepted(draft)}", operation.id)


def _accepted(draft: Draft) -> str:
    """What `--force` was taken for, where one serves."""
    said = succession.accepted(draft) if succession.runs(draft.policy, draft.running()) else ""
    return f"; {said}" if said else ""


def _note_proven(draft: Draft, request: Request) -> None:
    """The newest of each rung and observer that is configured is kept."""
    policy = draft.policy
    rungs = {(node.name, rung.kind.value) for node in policy.nodes for rung in node.ladder}
    observers = {observer.name for observer in policy.observers}
    proven = {
        (each.node, each.rung, each.observer): each
        for each in (*draft.state.proven, *request.proven)
        if (each.node, each.rung) in rungs and each.observer in observers
    }
    draft.state = replace(draft.state, proven=tuple(proven[key] for key in sorted(proven)))
    draft.answer(request, True, "recorded")


def _make_way(draft: Draft, why: str) -> None:
    operation = draft.state.operation
    if operation is None:
        return
    if succession.runs(draft.policy, operation):
        course.give_way(draft, why)
    else:
        planning.roll_back(draft, why)


# in a cluster


def _rather(situation: Situation, request: Request) -> str:
    """The command for what was probably meant: to drain who serves, or a failover to who stands by."""
    node, serves = request.node, succession.active(situation.state)
    if situation.snapshot.policy.deployment is not Deployment.CLUSTER:
        return ""
    if request.kind is RequestKind.DRAIN and node == serves:
        fit = [name for name in candidates.field(situation, node, None).fit if name != node]
        doubt = "" if fit else f" (nobody can just now: mailward explain {node})"
        return f"{node} serves; to have another take over: mailward switchover {(*fit, 'NODE')[0]}{doubt}"
    stands_by = any(record.phase is Phase.STANDBY for record in situation.state.phases_of(node))
    if request.kind is RequestKind.FAILOVER and stands_by:
        broken = f", or if {serves} is broken: mailward failover {serves}" if serves else ""
        return f"{node} stands by; to make it serve: mailward switchover {node}{broken}"
    return ""


def _served_by(situation: Situation, request: Request) -> Case | None:
    """The node in service, from which a switchover leads away."""
    source = succession.active(situation.state)
    endpoints = situation.snapshot.policy.endpoints_of(source) if source else ()
    return Case(situation, source, endpoints[0], request.force) if endpoints else None


def _switch_over(draft: Draft, request: Request) -> None:
    if draft.policy.deployment is not Deployment.CLUSTER:
        draft.answer(request, False, _NOT_A_CLUSTER.format(draft.policy.deployment))
        return
    case, planned = _served_by(draft.situation, request), request.due_wall_s is not None
    if case is None and planned:
        _nobody_serves(draft, request)
        return
    if case is None:
        _serve_again(draft, request)
        return
    if case.node == request.node:  # by a plan it was to serve, and does
        draft.answer(request, planned, f"nothing to do: {request.node} is in service")
        return
    held = [f for f in takeover.before_switchover(case, request.node) if not _only_repeats(draft, f)]
    if held:
        _refuse_or_wait(draft, request, held)
        return
    _make_way(draft, f"{request.kind} asked for by {request.by}")
    reason = request.who
    succession.begin(
        draft, Kind.SWITCHOVER, case.node, Cause.OPERATOR, reason, to=request.node, request=request.id,
        force=request.force,
    )  # fmt: skip
    said = f"switchover {draft.running().id} started{_accepted(draft)}"
    draft.answer(request, True, said, draft.running().id)


def _nobody_serves(draft: Draft, request: Request) -> None:
    """At the time of a plan: a failover that runs is waited for, and nobody is made to serve by a word from
    before."""
    said = f"nobody is in service: mailward switchover {request.node}"
    if draft.state.operation is not None:
        if _waited_s(draft, request) < PATIENCE_S:
            return
        said = f"{draft.running().kind} {draft.running().id} is under way: mailward status"
    draft.answer(request, False, said)


def _serve_again(draft: Draft, request: Request) -> None:
    """Nobody is in service: the one that is asked for, once the others are stopped, and nobody else."""
    if draft.state.operation is not None:
        draft.answer(
            request, False, f"{draft.running().kind} {draft.running().id} is under way: mailward status"
        )
        return
    others = tuple(node.name for node in draft.policy.nodes if node.name != request.node)
    succession.begin(
        draft, Kind.FAILOVER, "", Cause.OPERATOR, request.who, to=request.node, request=request.id,
        force=request.force, failed=others,
    )  # fmt: skip
    draft.answer(request, True, f"failover {draft.running().id} started", draft.running().id)


def _only_repeats(draft: Draft, finding: Finding) -> bool:
    operation = draft.state.operation
    repeats = operation is None or operation.kind is Kind.RECONCILE
    return finding.gate == "one-operation" and repeats


def _vouch(draft: Draft, request: Request) -> None:
    """I4: a person's word that a node is stopped. For the operation that it names, while that waits for a
    fence of that node and the same leader asks for it: how old a word is nobody can tell by another host's
    clock, and under a new leader the node may have been started again."""
    operation = draft.state.operation
    if operation is None or not succession.runs(draft.policy, operation):
        refused = "no failover runs that waits for a fence"
    elif operation.id != request.operation:
        refused = f"the word is for operation {request.operation or '?'}, and {operation.id} runs"
    elif operation.step is not Step.FENCE or not succession.waits_for_stop_of(draft, request.node):
        refused = f"operation {operation.id} does not wait for {request.node} to be stopped"
    elif course.known_to_serve(draft, request.node):
        refused = f"{request.node} answers its clients: it is not stopped"
    elif request.epoch != draft.state.epoch:
        refused = "another daemon leads since it was said: look again, and say it again"
    else:
        succession.vouch(draft, request.node, request.who)
        draft.answer(request, True, f"{request.node} counts as stopped for {operation.id}", operation.id)
        return
    draft.answer(request, False, refused)
