"""Operations, requests and orders as the surfaces show them. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from mailward.app.status import (
    AttemptStatus,
    EpisodeStatus,
    MarkStatus,
    OperationStatus,
    Progress,
    RequestStatus,
    WaitingRequest,
)
from mailward.app.wording import printable
from mailward.controller.core import later
from mailward.model.clock import Moment
from mailward.model.orders import (
    Action,
    ClaimHelper,
    ClaimTarget,
    KickReplication,
    OrderPorts,
    PowerOff,
    Publish,
    Verify,
)
from mailward.model.policy import RungKind
from mailward.model.state import Answer, Attempt, Ended, Ending, Episode, Operation, Request, State, Step


def running(operation: Operation, now: Moment, waits_for: str = "") -> OperationStatus:
    return OperationStatus(
        id=operation.id,
        kind=operation.kind,
        node=operation.node,
        endpoints=operation.endpoints,
        step=operation.step,
        reason=printable(operation.reason),
        cause=operation.cause,
        started_unix_s=operation.started.wall_s,
        running_s=operation.started.age_s(now),
        step_for_s=operation.step_since.age_s(now),
        attempts=tuple(_attempt(attempt, now) for attempt in operation.attempts),
        waits_for=printable(waits_for, 400),
        notes=tuple(printable(note) for note in operation.notes),
        request=operation.request,
        to=operation.to,
        marks=_marks(operation, now),
    )


_PARTS = {Step.OPEN.value: "promote", Step.CHECK.value: "promote", Step.RESCUE.value: "catch-up"}
"""Steps that are told as part of another."""


def _marks(operation: Operation, until: Moment) -> tuple[MarkStatus, ...]:
    """What was done again is added to what it took before."""
    found: dict[str, MarkStatus] = {}
    ends_s = [mark.after_s for mark in operation.marks[1:]]
    for mark, end_s in zip(operation.marks, [*ends_s, operation.started.age_s(until)], strict=False):
        part = _PARTS.get(mark.name, mark.name)
        known = found.get(part) or MarkStatus(part, mark.after_s, 0.0)
        found[part] = replace(known, lasted_s=round(known.lasted_s + max(0.0, end_s - mark.after_s), 3))
    return tuple(found.values())


def _attempt(attempt: Attempt, now: Moment) -> AttemptStatus:
    result = attempt.result.value if attempt.result else ""
    return AttemptStatus(
        attempt.key, attempt.tries, attempt.last.age_s(now), result, printable(attempt.detail)
    )


def over(ended: Ended, now: Moment) -> OperationStatus:
    """An operation that is over: its durations stop where it ended."""
    return replace(
        running(ended.operation, ended.at),
        attempts=(),
        ending=ended.ending,
        ended_ago_s=ended.at.age_s(now),
        detail=printable(ended.detail),
    )


def newest_first(ended: tuple[Ended, ...], now: Moment) -> tuple[OperationStatus, ...]:
    return tuple(sorted((over(each, now) for each in ended), key=lambda op: op.ended_ago_s or 0.0))


def episode(seen: Episode, now: Moment) -> EpisodeStatus:
    lasted = seen.lasted_s if seen.ended else seen.began.age_s(now)
    return EpisodeStatus(
        node=seen.node,
        endpoint=seen.endpoint,
        began_unix_s=seen.began.wall_s,
        would=printable(seen.would),
        seen=printable(seen.seen),
        ended=printable(seen.ended),
        lasted_s=lasted,
    )


NOT_YET = "not yet taken up"


def waiting(request: Request, now: Moment, waits_for: str) -> WaitingRequest:
    due = request.due_wall_s if later.waits(request, now) else None
    return WaitingRequest(
        request.id, request.kind.value, request.node, printable(request.by), request.at.age_s(now),
        printable(waits_for, 400), due, None if due is None else due - now.wall_s,
    )  # fmt: skip


def progress(
    request: str, state: State, pending: tuple[Request, ...], now: Moment, waits_for: Mapping[str, str]
) -> RequestStatus | None:
    """How far `request` has come; None if neither the state nor the waiting requests know of it. `waits_for`
    is what holds each of those."""
    if state.operation is not None and state.operation.request == request:
        return RequestStatus(request, Progress.RUNNING, operation=running(state.operation, now))
    for ended in state.ended:
        if ended.operation.request == request:
            known = Progress(ended.ending.value)
            return RequestStatus(request, known, printable(ended.detail), over(ended, now))
    for answer in state.answers:
        if answer.request == request:
            return RequestStatus(request, _answered(answer), printable(answer.detail))
    left = next((each for each in pending if each.id == request), None)
    if left is None:
        return None
    held = printable(waits_for.get(request, ""), 400)
    if later.waits(left, now):
        return RequestStatus(request, Progress.SCHEDULED, held, due_unix_s=left.due_wall_s)
    return RequestStatus(request, Progress.WAITING, held or NOT_YET)


def _answered(answer: Answer) -> Progress:
    """Accepted without an operation: there was nothing to do."""
    if not answer.accepted:
        return Progress.REFUSED
    return Progress.ACCEPTED if answer.operation else Progress.DONE


ENDINGS: dict[Ending, str] = {
    Ending.DONE: "done",
    Ending.ROLLED_BACK: "rolled back",
    Ending.HANDED_OVER: "HANDED OVER to you",
}


def describe(action: Action) -> str:
    """An action in words, for dry runs."""
    match action:
        case ClaimTarget(target=target):
            return f"claim DNS target {target}"
        case ClaimHelper(node=node):
            return f"claim the helper of {node}"
        case Publish(target=target, rrsets=rrsets):
            return f"publish at {target}: " + "; ".join(str(rrset) for rrset in rrsets)
        case Verify(target=target):
            return f"verify at every name server of {target}"
        case OrderPorts(node=node, ports=ports, terms=terms, by=by):
            states = ", ".join(f"{service} {state}" for service, state in sorted(ports.items()))
            hook = f", with its {terms.hook} hook" if terms.hook else ""
            way = ", through the daemon beside it" if by is RungKind.ASK else ""
            return f"client ports of {node}: {states}{hook}{way}"
        case PowerOff(node=node):
            return f"switch {node} off, and read back that it is"
        case KickReplication(node=node):
            return f"ask {node} to replicate its waiting users"
