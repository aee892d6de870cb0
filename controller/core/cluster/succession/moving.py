"""The steps after everybody else is stopped: mail is pulled, the old one demoted, the new one promoted,
checked and published."""

from dataclasses import replace
from math import inf

from mailward.controller.core import operations
from mailward.controller.core.cases import FAILING, Case, failing_for_long
from mailward.controller.core.cluster import candidates, ladder, leases
from mailward.controller.core.cluster.succession import choosing, course
from mailward.controller.core.draft import Draft
from mailward.controller.core.operations import Turn
from mailward.controller.core.phases import desired_rrsets
from mailward.model.fencing import Hook
from mailward.model.orders import (
    OrderPorts,
    Result,
    key_of,
)
from mailward.model.state import Cause, Ending, Kind, Phase, Step


def rescue(draft: Draft) -> str:
    """The last chance for what the source still has, and the limit of what may be left behind (I5)."""
    if held := _not_stopped_any_more(draft):
        return held
    operation, rules = draft.running(), draft.policy.rules
    held = choosing.choose(draft, at_last=True)
    lost_s = candidates.loss_s(draft.situation, operation.node, draft.running().to)
    reachable = bool(operation.node) and _reachable(draft, operation.node)
    waited_s = operation.step_since.age_s(draft.now)
    if lost_s != 0.0 and reachable and waited_s < rules.rescue_s:
        return f"pulling what {operation.node} still has, for up to {rules.rescue_s:g} s"
    if reachable and waited_s < rules.rescue_s and _recovers(draft, operation.node):
        return f"{operation.node} answers again; waiting for the verdict to turn"
    if held:
        return held
    if _in_doubt(draft):
        return ""
    if lost_s is None or lost_s > 0.0:
        lacks = candidates.amount(lost_s)
        draft.note(f"{draft.running().to} may lack {lacks} of the mail of {operation.node}")
    _demote_first(draft)
    return ""


def _reachable(draft: Draft, node: str) -> bool:
    """Whether a stopped node may still give what it has: its helper answers, or did when it closed the
    ports."""
    if draft.sight.nodes[node].facts is not None:
        return True
    record = draft.state.ports_of(node)
    began_s = draft.running().started.age_s(draft.now)
    return record is not None and record.closed and record.at.age_s(draft.now) <= began_s


def _recovers(draft: Draft, node: str) -> bool:
    """Whether all of a node's newest dialogues went well, and some verdict has not turned yet."""
    judged = [draft.judgements[node, endpoint.name] for endpoint in draft.policy.endpoints_of(node)]
    failing = [judgement for judgement in judged if judgement.condition in FAILING]
    return bool(failing) and all(judgement.recovering for judgement in failing)


def catch_up(draft: Draft) -> str:
    if held := _not_stopped_any_more(draft):
        return held
    operation, rules = draft.running(), draft.policy.rules
    waited_s = operation.step_since.age_s(draft.now)
    if failing_for_long(draft.situation, operation, operation.node):
        course.become_failover(draft)
        return ""
    lost_s = candidates.loss_s(draft.situation, operation.node, operation.to)
    if held := choosing.choose(draft):
        if choosing.may_pass(draft):
            return held
        course.turn_back(draft, held)
        return ""
    accepted_s = candidates.accepted_s(draft.situation, operation, operation.to)
    if (inf if lost_s is None else lost_s) <= accepted_s:
        if not _in_doubt(draft):
            _demote_first(draft)
        return ""
    if waited_s >= rules.catch_up_wait_s:
        course.turn_back(draft, f"{operation.to} had not caught up in {rules.catch_up_wait_s:.0f} s")
        return ""
    return f"{operation.to} is catching up with {operation.node}"


def _demote_first(draft: Draft) -> None:
    """Once: what has been ordered of a node that was stopped is done, or is done when that is readmitted."""
    operation, source = draft.running(), draft.running().node
    asked = draft.helper(source).hook is Hook.DEMOTE if source else True
    if asked or source == operation.to or not _helper_answers(draft, source):
        _promote_now(draft)
    else:
        draft.enter(Step.DEMOTE)


def _helper_answers(draft: Draft, node: str) -> bool:
    return draft.policy.node_by_name[node].fenced and draft.sight.nodes[node].facts is not None


def demote(draft: Draft) -> str:
    """The source is stopped already: a failover waits for a moment and goes on without, planned work goes
    back. How its services do meanwhile is its own business."""
    if held := _not_stopped_any_more(draft):
        return held
    operation, rules = draft.running(), draft.policy.rules
    source, waited_s = operation.node, operation.step_since.age_s(draft.now)
    attempt = operation.attempt(key_of(OrderPorts(source, {})))
    if attempt is not None and attempt.result is Result.DONE:
        _promote_now(draft)
        return ""
    answered, silent = attempt is not None and attempt.result is not None, not _helper_answers(draft, source)
    why = f"{source} is not demoted" + (f": {attempt.detail}" if attempt and attempt.detail else "")
    if operation.kind is Kind.SWITCHOVER and not operation.failed:
        if silent and waited_s >= rules.takeover_after_s:
            course.become_failover(draft)
        elif answered:
            course.turn_back(draft, why)
        else:
            return f"{source} is being demoted"
        return ""
    if answered or silent or waited_s >= rules.demote_s:
        draft.note(f"{why}; it is when it comes back")
        _promote_now(draft)
        return ""
    return f"{source} is being demoted, for up to {rules.demote_s:g} s"


def _promote_now(draft: Draft) -> None:
    draft.enter(Step.PROMOTE)
    course.put(draft, draft.running().to, Phase.PROMOTING)


def _in_doubt(draft: Draft) -> bool:
    """Whether somebody is to be closed once more before anybody is opened: then it goes back to fencing."""
    operation = draft.running()
    if not ladder.to_be_stopped(draft.situation, operation, operation.to):
        return False
    draft.enter(Step.FENCE)
    return True


def _not_stopped_any_more(draft: Draft) -> str:
    """Back to fencing when somebody who was stopped may serve again."""
    operation = draft.running()
    left = ladder.not_stopped(draft.situation, operation, operation.to)
    if not left:
        return ""
    draft.note(f"{', '.join(left)} may serve again")
    draft.enter(Step.FENCE)
    return f"{', '.join(left)} may serve again"


def promote(draft: Draft) -> str:
    operation = draft.running()
    if left := ladder.not_stopped(draft.situation, operation, operation.to):
        return _step_back(draft, f"{', '.join(left)} may serve again")
    key = key_of(OrderPorts(operation.to, {}))
    attempt = operation.attempt(key)
    if attempt is None and _in_doubt(draft):
        return ""
    ordered = attempt is not None and attempt.result in (None, Result.DONE)
    if not ordered and (alone := leases.unattended(draft.situation, operation.to)):
        return _failed(draft, f"it {alone}")
    if attempt is not None and attempt.result is Result.DONE:
        draft.enter(Step.CHECK)
        return ""
    why = f"{operation.to} is being opened" + (f": {attempt.detail}" if attempt and attempt.detail else "")
    runs = attempt is not None and attempt.result is None and _helper_answers(draft, operation.to)
    return _failed(draft, why) if course.impatient(draft) and not runs else why


def check(draft: Draft) -> str:
    operation = draft.running()
    if left := ladder.not_stopped(draft.situation, operation, operation.to):
        return _step_back(draft, f"{', '.join(left)} may serve again")
    if _closed_since(draft):
        return ""
    progress = operations.checked(operation, _cases(draft, operation.to))
    if progress.turn is Turn.GIVE_UP:
        return _failed(draft, progress.reason)
    if progress.turn is Turn.WAIT:
        return progress.reason
    course.put(draft, operation.to, Phase.IN_SERVICE)
    course.set_aside_who_left(draft)
    if operation.to != operation.node:
        _note_who_moved_it(draft)
    draft.enter(Step.PUBLISH)
    return ""


def _note_who_moved_it(draft: Draft) -> None:
    """What a failover has moved by itself may go back by itself (`failback`)."""
    operation = draft.running()
    by_itself = operation.node and operation.kind is Kind.FAILOVER and operation.cause is not Cause.OPERATOR
    moved_to = operation.to if by_itself and not _was_asked_for(draft) else ""
    draft.state = replace(draft.state, homing=replace(draft.state.homing, moved_to=moved_to))


def _was_asked_for(draft: Draft) -> bool:
    """Whether a failover does what a person's switchover was about when its source failed, at its first try
    or a later one, whatever came back or was repeated between."""
    operation = draft.running()
    for was, ending in ((each.operation, each.ending) for each in reversed(draft.state.ended)):
        if was.kind in (Kind.READMIT, Kind.RECONCILE):
            continue
        if (was.kind, was.node, ending) == (Kind.FAILOVER, operation.node, Ending.HANDED_OVER):
            continue
        planned = was.kind is Kind.SWITCHOVER and was.cause is Cause.OPERATOR
        return planned and (was.node, was.to) == (operation.node, operation.to)
    return False


def _cases(draft: Draft, node: str) -> tuple[Case, ...]:
    return tuple(Case(draft.situation, node, endpoint) for endpoint in draft.policy.endpoints_of(node))


def _failed(draft: Draft, why: str) -> str:
    """Who was to be promoted cannot be: it is stopped, and the next one tried."""
    operation = draft.running()
    others = course.all_but(draft, operation.node) if operation.kind is Kind.SWITCHOVER else ()
    failed = tuple(dict.fromkeys((*operation.failed, *others, operation.to)))
    draft.state = replace(draft.state, operation=replace(operation, failed=failed))
    return _step_back(draft, f"{operation.to} was not promoted: {why}")


def _step_back(draft: Draft, why: str) -> str:
    """To fencing, with whoever is best then. Who was promoted already, and has failed since, serves: it is
    opened again, or leaves by gates that ask for somebody to leave it to (I8)."""
    promoted = draft.running().to
    if course.is_in(draft, promoted, Phase.IN_SERVICE):
        course.give_way(draft, why)
        return why
    draft.note(why)
    draft.notices.append(why)
    course.put(draft, draft.running().to, Phase.DEMOTING)
    draft.state = replace(draft.state, operation=replace(draft.running(), to=""))
    draft.enter(Step.FENCE)
    return why


def publish(draft: Draft) -> str:
    """What some name server does not take now is tried again where the rest is verified."""
    operation = draft.running()
    if _closed_since(draft):
        return ""
    undone = [
        target
        for target in operations.targets_of(draft.policy, operation)
        if draft.state.target(target).published != desired_rrsets(draft.policy, draft.state, target)
    ]
    if undone and not course.impatient(draft):
        serves = course.known_to_serve(draft, operation.to)
        doubt = "" if serves else f": {operation.to} is not known to serve"
        return f"{', '.join(undone)} not published yet{doubt}"
    draft.enter(Step.VERIFY)
    return ""


def _closed_since(draft: Draft) -> bool:
    """Whether who was promoted has closed its ports since, as at a reboot: then it is opened once more. Where
    nobody would renew its lease it is not: another is tried, or, where it is recorded to serve already, that
    is a failure like any other."""
    operation = draft.running()
    if not ladder.closed_by_itself(draft.situation, operation.to):
        return False
    if alone := leases.unattended(draft.situation, operation.to):
        if course.is_in(draft, operation.to, Phase.IN_SERVICE):
            return False
        _failed(draft, f"it {alone}")
        return True
    draft.note(f"{operation.to} has closed its ports since, and is opened again")
    draft.enter(Step.PROMOTE)
    return True


def verify(draft: Draft) -> str:
    operation = draft.running()
    if _closed_since(draft):
        return ""
    actions = operations.wanted(draft.situation, operation)
    progress = operations.progress(operation, _cases(draft, operation.to), actions)
    if progress.turn is Turn.WAIT:
        return progress.reason
    if progress.turn is Turn.GIVE_UP:
        command = "check the DNS target, then: mailward explain"
        draft.notices.append(
            f"{operation.kind} of {operation.node} handed over: {progress.reason}; {command}"
        )
        draft.end(Ending.HANDED_OVER, f"{progress.reason}; {command}")
        return ""
    if progress.reason:
        draft.note(progress.reason)
    back = operation.to == operation.node
    draft.end(Ending.ROLLED_BACK if back else Ending.DONE, "; ".join(draft.running().notes))
    return ""
