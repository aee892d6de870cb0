"""The course of a running operation that moves service, whatever its step: how it stands, and how it turns
into a failover, turns back, or gives way."""

from dataclasses import replace

from mailward.controller.core import doubts
from mailward.controller.core.draft import Draft
from mailward.model.state import Cause, Ending, Kind, Operation, Phase, Request, Step


def known_to_serve(draft: Draft, node: str) -> bool:
    """As clients find it, behind every endpoint: who is published (I2)."""
    endpoints = draft.policy.endpoints_of(node)
    return all(doubts.known_to_serve(draft.situation, node, endpoint.name) for endpoint in endpoints)


def is_in(draft: Draft, node: str, phase: Phase) -> bool:
    records = draft.state.phases_of(node)
    return bool(records) and records[0].phase is phase


def put(draft: Draft, node: str, phase: Phase, cause: Cause = Cause.NONE, detail: str = "") -> None:
    for record in draft.state.phases_of(node):
        if (node, record.endpoint) in draft.policy.pairs:
            draft.set_phase(node, record.endpoint, phase, cause, detail)


def impatient(draft: Draft) -> bool:
    return draft.running().step_since.age_s(draft.now) >= draft.policy.rules.step_patience_s


def by_hand(operation: Operation) -> bool:
    """A failover by hand, or planned work."""
    return operation.kind is Kind.SWITCHOVER or operation.cause is Cause.OPERATOR


def asked(operation: Operation) -> bool:
    """Whether it is still on its way to the one that a person has asked for."""
    return operation.kind is Kind.SWITCHOVER and not operation.failed


def all_but(draft: Draft, node: str) -> tuple[str, ...]:
    return tuple(each.name for each in draft.policy.nodes if each.name != node)


def set_aside_who_left(draft: Draft) -> None:
    """Who was stopped stands by after planned work, and is out where it has failed."""
    operation = draft.running()
    for node in draft.policy.nodes:
        records = draft.state.phases_of(node.name)
        if not records or records[0].phase is not Phase.DEMOTING:
            continue
        if operation.kind is Kind.SWITCHOVER and node.name == operation.node:
            put(draft, node.name, Phase.STANDBY)
        else:
            cause = operation.cause if node.name == operation.node else Cause.SERVICE
            put(draft, node.name, Phase.OUT, cause, operation.reason)


def close_who_was_being_opened(draft: Draft) -> None:
    """Whoever is stopped first is not opened meanwhile, whatever it was that led back to that: a person who
    orders a failover while the source is on its way back, or a doubt."""
    for node in draft.policy.nodes:
        if is_in(draft, node.name, Phase.PROMOTING):
            put(draft, node.name, Phase.DEMOTING)


def become_failover(draft: Draft, request: Request | None = None) -> None:
    """A failover, of a source that has failed or as a person asks, pre-empts planned work; what was said for
    that counts no more."""
    before = draft.running()
    if request is not None:
        cause, reason = Cause.OPERATOR, request.who
        why = f"{request.who} has ordered the failover of {before.node}, which goes on"
    else:
        evidence = draft.judgements[before.node, before.endpoints[0]].evidence
        cause, reason = Cause.SERVICE, evidence or before.reason
        why = f"{before.node} failed, and its failover goes on"
    asked_by = request.id if request is not None else None
    draft.end(Ending.ROLLED_BACK, why)
    failover = replace(
        before, id=draft.operation_id(), kind=Kind.FAILOVER, step=Step.FENCE, started=draft.now,
        step_since=draft.now, cause=cause, reason=reason, request=asked_by, attempts=(),
        notes=(), to="", failed=(), vouched=(), accepts=None,
    )  # fmt: skip
    draft.start(failover)


def turn_back(draft: Draft, why: str) -> None:
    """A switchover goes back: everybody but the source has to be stopped, then that is opened again."""
    draft.note(why)
    operation = draft.running()
    others = all_but(draft, operation.node)
    draft.state = replace(draft.state, operation=replace(operation, to=operation.node, failed=others))
    draft.enter(Step.FENCE)


def gives_way(operation: Operation) -> bool:
    """What has promoted somebody, and only waits to be published or verified, is over when that one fails."""
    return operation.step in (Step.PUBLISH, Step.VERIFY)


def give_way(draft: Draft, why: str) -> None:
    draft.void_what_is_unheard()
    draft.end(Ending.DONE, f"not published or verified everywhere: {why}")
