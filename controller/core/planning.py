"""Planning: which operation to start, what it pre-empts, and how one is rolled back.

Automation's wishes come from the diagnosis table and start only when every gate says yes. A failover
pre-empts planned work, which rolls back first; it also takes in further endpoints of its own node. In a
cluster a switchover whose source fails becomes a failover (`cluster.succession`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from mailward.controller.core import gates
from mailward.controller.core.cases import Case, Situation
from mailward.controller.core.cluster import failback, ladder, succession, takeover
from mailward.controller.core.cluster.succession import course
from mailward.controller.core.diagnosis import diagnose
from mailward.controller.core.draft import Draft
from mailward.controller.core.gates import Gate
from mailward.controller.core.operations import operation_of
from mailward.model.decision import Answered, Finding, Goal
from mailward.model.policy import Deployment, Policy
from mailward.model.state import Cause, Ending, Kind, Operation, Phase, PhaseRecord, State, Step


def held_by(case: Case, checks: Iterable[Gate]) -> tuple[Finding, ...]:
    """The findings that hold a case, none when it may go on."""
    return tuple(f for f in (gate(case) for gate in checks) if f.answer is not Answered.YES)


def plan(draft: Draft) -> None:
    """Start at most one automatic operation: withdrawals first, readmissions after."""
    wanting = _wanting(draft.situation)
    if draft.policy.deployment is Deployment.CLUSTER and _take_up_again(draft):
        return
    for goal in (Goal.WITHDRAW, Goal.READMIT):
        if goal is Goal.READMIT and ladder.serves_and_is_closed(draft.situation):
            return  # who serves comes first
        for node in draft.policy.nodes:
            cases = wanting.get((goal, node.name), ())
            ready = [case for case in cases if _free(draft, case, goal, _checks(case, goal))]
            if not ready:
                continue
            if goal is Goal.WITHDRAW:
                _make_way(draft, node.name)
                withdraw(draft, ready)
            else:
                readmit(draft, ready)
            return
    failback.begin(draft)


_NOBODY = "nobody serves: "


def _take_up_again(draft: Draft) -> bool:
    """A failover that was handed over since nobody could take over, once somebody can."""
    left = _left_behind(draft.state)
    if left is None or (left.node, left.endpoint) not in draft.policy.pairs:
        return False
    case = Case(draft.situation, left.node, draft.policy.endpoint_by_name[left.endpoint])
    if held_by(case, takeover.AGAIN):
        return False
    why = _NOBODY + left.detail.removeprefix(_NOBODY)
    succession.begin(draft, Kind.FAILOVER, left.node, left.cause, why)
    return True


def _left_behind(state: State) -> PhaseRecord | None:
    """The node that was being stopped when nobody could take over, while nobody serves and nothing runs."""
    serves = any(record.phase in (Phase.IN_SERVICE, Phase.PROMOTING) for record in state.phases)
    if serves or state.operation is not None:
        return None
    return next((record for record in state.phases if record.phase is Phase.DEMOTING), None)


def _checks(case: Case, goal: Goal) -> Sequence[Gate]:
    return takeover.withdraw(case) if goal is Goal.WITHDRAW else gates.READMIT


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
    if operation is not None and draft.policy.deployment is Deployment.CLUSTER:
        joins = False  # all of a node leaves at once
    yields = operation is not None and preemptible(draft.policy, operation)
    gives_way = goal is Goal.WITHDRAW and (joins or yields)
    findings = (gate(case) for gate in checks)
    return all(f.answer is Answered.YES or (gives_way and f.gate == "one-operation") for f in findings)


def preemptible(policy: Policy, operation: Operation) -> bool:
    """Planned work gives way, and so does whatever only waits to be verified. A readmission between
    the two does not: it ends within seconds, and the node it lets in may be the successor."""
    if succession.runs(policy, operation):
        return course.gives_way(operation)
    if policy.deployment is Deployment.CLUSTER:
        return True  # of standbys, or what opens again who serves
    if operation.step is Step.VERIFY:
        return True
    if operation.kind is Kind.READMIT:
        return operation.step is Step.CATCH_UP
    if operation.kind is Kind.DRAIN:
        return operation.step is not Step.FENCE
    return operation.kind is Kind.RECONCILE


def _make_way(draft: Draft, node: str) -> None:
    operation = draft.state.operation
    if operation is None:
        return
    if succession.runs(draft.policy, operation):
        course.give_way(draft, f"{node} failed")
        return
    if operation.kind is Kind.FAILOVER and operation.node == node:
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
    if draft.policy.deployment is Deployment.CLUSTER:
        succession.begin(
            draft, Kind.FAILOVER, node, cause, why, row=row, request=request, force=cases[0].force
        )
        return
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
    """In a cluster only who stands by is drained: nobody is there to be waited for."""
    names = [case.endpoint.name for case in cases]
    node = cases[0].node
    operation = operation_of(draft, Kind.DRAIN, node, names, Cause.OPERATOR, reason, 0, request)
    draft.start(replace(operation, force=force))
    stands_by = draft.policy.deployment is Deployment.CLUSTER
    for name in names:
        draft.set_phase(node, name, Phase.OUT if stands_by else Phase.DRAINING, Cause.OPERATOR, reason)


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
        draft.start(
            operation_of(
                draft, Kind.READMIT, operation.node, names, Cause.OPERATOR, reason, 0, None, Step.PUBLISH
            )
        )
