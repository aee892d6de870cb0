"""Planning: which operation to start, what it pre-empts, and how one is rolled back.

Automation's wishes come from the diagnosis table and start only when every gate says yes. A failover
pre-empts planned work, which rolls back first; it also takes in further endpoints of its own node.
"""

from collections.abc import Iterable
from dataclasses import replace

from mailward.controller.core import bounds, gates
from mailward.controller.core.cases import Case, Situation
from mailward.controller.core.diagnosis import diagnose
from mailward.controller.core.draft import Draft
from mailward.controller.core.gates import Gate
from mailward.controller.core.operations import STEPS
from mailward.model.decision import Answered, Finding, Goal
from mailward.model.state import Cause, Ending, Kind, Operation, Phase, Step


def held_by(case: Case, checks: Iterable[Gate]) -> tuple[Finding, ...]:
    """The findings that hold a case, none when it may go on."""
    return tuple(f for f in (gate(case) for gate in checks) if f.answer is not Answered.YES)


def plan(draft: Draft) -> None:
    """Start at most one automatic operation: withdrawals first, readmissions after."""
    wanting = _wanting(draft.situation)
    for goal, checks in ((Goal.WITHDRAW, gates.WITHDRAW), (Goal.READMIT, gates.READMIT)):
        for node in draft.policy.nodes:
            cases = wanting.get((goal, node.name), ())
            ready = [case for case in cases if _free(draft, case, goal, checks)]
            if not ready:
                continue
            if goal is Goal.WITHDRAW:
                _make_way(draft, node.name)
                withdraw(draft, ready)
            else:
                readmit(draft, ready)
            return


def _wanting(situation: Situation) -> dict[tuple[Goal, str], list[Case]]:
    """What the diagnosis wants done, by goal and node."""
    found: dict[tuple[Goal, str], list[Case]] = {}
    for (node, name), endpoint in situation.snapshot.policy.pairs.items():
        record, judgement = situation.state.phase_of(node, name), situation.judgements[node, name]
        goal = diagnose(record, judgement.condition).goal
        if goal is not Goal.STAY:
            found.setdefault((goal, node), []).append(Case(situation, node, endpoint))
    return found


def _free(draft: Draft, case: Case, goal: Goal, checks: Iterable[Gate]) -> bool:
    """Ready when nothing holds it, or only an operation which a withdrawal may pre-empt or join."""
    operation = draft.state.operation
    joins = operation is not None and operation.kind is Kind.FAILOVER and operation.node == case.node
    gives_way = operation is not None and goal is Goal.WITHDRAW and (joins or preemptible(operation))
    findings = (gate(case) for gate in checks)
    return all(f.answer is Answered.YES or (gives_way and f.gate == "one-operation") for f in findings)


def preemptible(operation: Operation) -> bool:
    """Planned work gives way, and so does whatever only waits to be verified. A readmission between
    the two does not: it ends within seconds, and the node it lets in may be the successor."""
    if operation.step is Step.VERIFY:
        return True
    if operation.kind is Kind.READMIT:
        return operation.step is Step.CATCH_UP
    if operation.kind is Kind.DRAIN:
        return operation.step is not Step.FENCE
    return operation.kind is Kind.RECONCILE


def _make_way(draft: Draft, node: str) -> None:
    operation = draft.state.operation
    if operation is None or (operation.kind is Kind.FAILOVER and operation.node == node):
        return
    roll_back(draft, f"{node} failed")


def withdraw(
    draft: Draft, cases: list[Case], by_hand: Cause | None = None, request: str | None = None,
    reason: str = "",
) -> None:  # fmt: skip
    """Start a failover of these endpoints of one node, or let the running one take them in."""
    node = cases[0].node
    running = draft.state.operation
    judgement = cases[0].judgement
    cause = by_hand or judgement.cause
    why = reason or judgement.evidence
    names = [case.endpoint.name for case in cases]
    row = diagnose(cases[0].record, judgement.condition).id
    if running is not None and running.kind is Kind.FAILOVER and running.node == node:
        draft.note(f"took in {', '.join(names)}: {why}")
        merged = tuple(sorted({*running.endpoints, *names}))
        draft.state = replace(draft.state, operation=replace(draft.running(), endpoints=merged))
        _set_out(draft, cases, cause, why)
        draft.enter(Step.PUBLISH)
        return
    draft.start(operation_of(draft, Kind.FAILOVER, node, names, cause, why, row, request))
    _set_out(draft, cases, cause, why)


def _set_out(draft: Draft, cases: list[Case], cause: Cause, why: str) -> None:
    for case in cases:
        draft.set_phase(case.node, case.endpoint.name, Phase.OUT, cause, why)


def drain(draft: Draft, cases: list[Case], request: str, reason: str, force: bool) -> None:
    names = [case.endpoint.name for case in cases]
    node = cases[0].node
    operation = operation_of(draft, Kind.DRAIN, node, names, Cause.OPERATOR, reason, 0, request)
    draft.start(replace(operation, force=force))
    for name in names:
        draft.set_phase(node, name, Phase.DRAINING, Cause.OPERATOR, reason)


def readmit(
    draft: Draft, cases: list[Case], request: str | None = None, reason: str = "", force: bool = False
) -> None:
    names = [case.endpoint.name for case in cases]
    node, record = cases[0].node, cases[0].record
    cause = record.cause if record else Cause.NONE
    row = diagnose(record, cases[0].judgement.condition).id
    why = reason or cases[0].judgement.evidence
    operation = operation_of(draft, Kind.READMIT, node, names, cause, why, row, request)
    draft.start(replace(operation, force=force))
    for case in cases:
        before = case.record
        draft.set_phase(
            node, case.endpoint.name, Phase.REJOINING,
            before.cause if before else Cause.NONE, before.detail if before else "",
        )  # fmt: skip


def operation_of(
    draft: Draft, kind: Kind, node: str, names: list[str], cause: Cause, reason: str, row: int,
    request: str | None,
) -> Operation:  # fmt: skip
    return Operation(
        id=draft.operation_id(), kind=kind, node=node, endpoints=tuple(sorted(names)),
        step=STEPS[kind][0], started=draft.now, step_since=draft.now, cause=cause,
        reason=reason[: bounds.DETAIL], row=row, request=request,
    )  # fmt: skip


def roll_back(draft: Draft, why: str) -> None:
    """Undo planned work: a readmission goes back to `out`, a drain back into service. What only waits
    to be verified is done."""
    operation = draft.running()
    if operation.step is Step.VERIFY and operation.kind is not Kind.DRAIN:
        draft.end(Ending.DONE, f"not published or verified everywhere: {why}")
        return
    if operation.kind is Kind.READMIT:
        draft.void_what_is_unheard()
    draft.end(Ending.ROLLED_BACK, why)
    for name in operation.endpoints:
        record = draft.state.phase_of(operation.node, name)
        if record is None:
            continue
        if operation.kind is Kind.READMIT:
            draft.set_phase(operation.node, name, Phase.OUT, operation.cause, why)
        if operation.kind is Kind.DRAIN and record.phase is Phase.DRAINING:
            draft.set_phase(operation.node, name, Phase.IN_SERVICE)


def abandon(draft: Draft, why: str) -> None:
    """Roll back where no other operation follows: a drained node is published again."""
    operation = draft.running()
    roll_back(draft, why)
    if operation.kind is Kind.DRAIN:
        names, reason = list(operation.endpoints), f"drain rolled back: {why}"
        back = operation_of(draft, Kind.READMIT, operation.node, names, Cause.OPERATOR, reason, 0, None)
        draft.start(replace(back, step=Step.PUBLISH))
