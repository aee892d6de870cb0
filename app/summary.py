"""From a daemon's `View` to what the surfaces show: `status_of` and `explanations_of`. Pure."""

from dataclasses import replace

from mailward import __version__
from mailward.app import advice, belief, ladders, leases, nodes, observers, operations
from mailward.app.live import View
from mailward.app.status import (
    SCHEMA,
    Automation,
    Explained,
    Explanations,
    OperationStatus,
    Progress,
    RequestStatus,
    Status,
    TargetStatus,
)
from mailward.app.wording import WHOLE, printable
from mailward.controller.core.decide import waiting
from mailward.model.decision import Decision, Explanation, Finding
from mailward.model.orders import Result
from mailward.model.snapshot import Snapshot
from mailward.model.state import Cause, Request, State, TargetRecord

LAST_OPERATIONS = 8
LAST_EPISODES = 8
NO_ROUND = "the daemon is starting and has not decided anything yet"


def status_of(view: View) -> Status:
    now = advice.automation(view)
    why = advice.not_ready(view)
    snapshot = view.snapshot
    if snapshot is None:
        return Status(
            schema=SCHEMA,
            version=__version__,
            cluster="",
            deployment=None,
            observer=view.observer,
            standing=None,
            at_unix_s=view.now.wall_s,
            uptime_s=view.started.age_s(view.now),
            ready=False,
            not_ready=why,
            healthy=False,
            automation=now,
            headline=NO_ROUND,
            notices=observers.notices(view),
            next=advice.suggestions(view, (), now, ()),
        )
    state = snapshot.state
    seen = nodes.nodes(snapshot, view.decision, view.observer)
    as_well = advice.answering(view.decision)
    unbelieved = belief.unbelieved(view)
    running = None if belief.superseded(view) else _running_of(snapshot, view.decision)
    ended = operations.newest_first(state.ended, snapshot.now)
    held = waiting(snapshot)
    episodes = sorted(state.episodes, key=lambda each: each.began.wall_s, reverse=True)
    return Status(
        schema=SCHEMA,
        version=__version__,
        cluster=snapshot.policy.cluster,
        deployment=snapshot.policy.deployment,
        observer=view.observer,
        standing=observers.standing(view),
        at_unix_s=snapshot.now.wall_s,
        uptime_s=view.started.age_s(view.now),
        ready=not why,
        not_ready=why,
        healthy=not (why or running or as_well) and advice.healthy(seen, now),
        automation=now,
        headline=advice.headline(seen, running, unbelieved, as_well),
        nodes=seen,
        lags=nodes.lags(snapshot, view.observer),
        targets=tuple(_target(state.target(name), snapshot) for name in snapshot.policy.targets),
        operation=running,
        ended=ended[:LAST_OPERATIONS],
        episodes=tuple(operations.episode(each, snapshot.now) for each in episodes[:LAST_EPISODES]),
        tallies=dict(sorted(state.tallies.items())),
        requests=tuple(operations.waiting(r, snapshot.now, held[r.id]) for r in snapshot.requests),
        notices=(
            *_notices(view.decision),
            *observers.notices(view),
            *leases.notices(view),
            *ladders.notices(view),
        ),
        next=advice.suggestions(view, seen, now, ended),
        unbelieved=unbelieved,
        observers=observers.observers(view),
        cuts=observers.cuts(snapshot),
        recorded_age_s=view.read_at.age_s(view.now) if view.read_at is not None else None,
    )


def _running_of(snapshot: Snapshot, decision: Decision | None) -> OperationStatus | None:
    operation = snapshot.state.operation
    if operation is None:
        return None
    decided = decision.state.operation if decision is not None else None
    waits_for = decision.waits_for if decision and decided and decided.id == operation.id else ""
    return operations.running(operation, snapshot.now, waits_for)


def _notices(decision: Decision | None) -> tuple[str, ...]:
    return tuple(printable(notice, WHOLE) for notice in decision.notices) if decision else ()


def _target(record: TargetRecord, snapshot: Snapshot) -> TargetStatus:
    claim = record.claim
    published = None if record.published is None else tuple(str(each) for each in record.published)
    return TargetStatus(
        target=record.target,
        claimed=record.claimed_in(snapshot.state.epoch),
        published=published,
        token=str(record.token) if record.token else "",
        for_s=None if record.at is None else record.at.age_s(snapshot.now),
        detail=printable(
            record.detail or (claim.detail if claim and claim.result is not Result.DONE else "")
        ),
    )


def explanations_of(view: View, node: str | None) -> Explanations:
    """Every (node, endpoint), or one node's; ended operations and notices of that node or of all."""
    status = status_of(view)
    said = _explained(view, view.decision, node) if view.decision else ()
    return Explanations(
        schema=SCHEMA,
        cluster=status.cluster,
        at_unix_s=status.at_unix_s,
        automation=status.automation,
        headline=status.headline,
        explanations=said,
        operation=status.operation,
        ended=tuple(each for each in status.ended if node in (None, each.node)),
        notices=status.notices,
        next=advice.after_explaining(status.next, node),
        unbelieved=status.unbelieved,
        requests=tuple(each for each in status.requests if node in (None, each.node)),
    )


def _explained(view: View, decision: Decision, node: str | None) -> tuple[Explained, ...]:
    """The explanations of `decision`, with the phases it decides."""
    now = advice.automation(view)
    chosen = (each for each in decision.explanations if node in (None, each.node))
    return tuple(_one(each, decision.state, view, now) for each in chosen)


def _one(each: Explanation, state: State, view: View, now: Automation) -> Explained:
    running = operations.running(state.operation, view.now) if state.operation else None
    record = state.phase_of(each.node, each.endpoint)
    phase = record.phase if record else None
    cause = record.cause if record else Cause.NONE
    return Explained(
        node=each.node,
        endpoint=each.endpoint,
        phase=phase,
        for_s=record.since.age_s(view.now) if record else None,
        cause=cause,
        condition=each.condition,
        evidence=printable(each.evidence, 400),
        row=each.row,
        row_name=printable(each.row_name, 60),
        goal=each.goal,
        held=each.held,
        findings=tuple(_finding(finding) for finding in each.findings),
        so=advice.consequence(each, phase, cause, now, running, belief.unbelieved(view)),
        rungs=ladders.of_a_cluster(view.snapshot, each.node),
        ports=nodes.ports_of(state, view.now, each.node),
        power=nodes.power_of(state, view.now, each.node),
    )


def _finding(each: Finding) -> Finding:
    return Finding(
        printable(each.gate, 40), each.answer, printable(each.reason, 300), printable(each.command)
    )


def dry_run_of(view: View, request: Request, decision: Decision) -> RequestStatus:
    """What leaving `request` now would lead to, by the decision it would get; the gates as they are."""
    now, pending, held = view.now, (request,), {}
    if view.snapshot is not None and request.due_wall_s is not None:
        held = waiting(replace(view.snapshot, requests=pending))
    would = operations.progress(request.id, decision.state, pending, now, held) or RequestStatus(
        request.id, Progress.WAITING
    )
    return replace(
        would,
        id="",
        dry_run=True,
        would_send=tuple(operations.describe(order.action) for order in decision.send),
        explanations=_explained(view, view.decision or decision, request.node),
    )
